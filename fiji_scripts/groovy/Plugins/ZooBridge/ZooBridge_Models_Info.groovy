// Made by `zoobridge fiji launchers` from the job `models info`; changes here are lost.
#@script(label="ZooBridge Models Info", headless=true)
#@ CharSequence (label="Model", description="Folder, .zip, YAML file or name of a model package.", visibility=INVISIBLE, required=false, persist=false, value="deep-storm") model
def form = [
    [name: "model", type: "text", value: "deep-storm", choices: [], help: "Folder, .zip, YAML file or name of a model package.", low: null, high: null],
]
def values = [model: model]
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
kept.client.run("models info", "ZooBridge Models Info", form, values)
