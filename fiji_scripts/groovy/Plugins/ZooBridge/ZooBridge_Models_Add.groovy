// Made by `zoobridge fiji launchers` from the job `models add`; changes here are lost.
#@script(label="ZooBridge Models Add", headless=true)
#@ CharSequence (label="Path", description="Folder, .zip or YAML file of the package.", visibility=INVISIBLE, required=false, persist=false, value="") path
#@ CharSequence (label="Name", description="Name to give it; empty makes one from the model's name.", visibility=INVISIBLE, required=false, persist=false, value="") name
#@ CharSequence (label="Overwrite", description="Replace an installed package of that name.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "path", type: "path", value: "", choices: [], help: "Folder, .zip or YAML file of the package.", low: null, high: null],
    [name: "name", type: "text", value: "", choices: [], help: "Name to give it; empty makes one from the model's name.", low: null, high: null],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace an installed package of that name.", low: null, high: null],
]
def values = [path: path, name: name, overwrite: overwrite]
def file = [System.getProperty("ij.dir"), ij.IJ.getDir("imagej")].findAll { it }
    .collect { new File(it, "zoobridge/ZooBridge.groovy") }.find { it.isFile() }
if (file == null) {
    def text = "ZooBridge: this Fiji has no zoobridge/ZooBridge.groovy. In a terminal, run zoobridge fiji install."
    ij.IJ.log(text)
    try {
        ij.IJ.error("ZooBridge", text)
    } catch (RuntimeException headless) {  // it cannot be shown, but it has ended the macro
    }
    return
}
def kept = ij.IJ.getProperty("zoobridge.client")
if (kept == null || kept.date != file.lastModified()) {
    def type = new GroovyClassLoader(getClass().classLoader).parseClass(file)
    kept = [date: file.lastModified(), client: type.getDeclaredConstructor().newInstance()]
    ij.IJ.setProperty("zoobridge.client", kept)
}
kept.client.run("models add", "ZooBridge Models Add", form, values)
