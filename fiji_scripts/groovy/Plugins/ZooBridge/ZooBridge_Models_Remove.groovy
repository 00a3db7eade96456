// Made by `zoobridge fiji launchers` from the job `models remove`; changes here are lost.
#@script(label="ZooBridge Models Remove", headless=true)
#@ CharSequence (label="Name", description="Name of an installed package.", visibility=INVISIBLE, required=false, persist=false, value="") name
def form = [
    [name: "name", type: "text", value: "", choices: [], help: "Name of an installed package.", low: null, high: null],
]
def values = [name: name]
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
kept.client.run("models remove", "ZooBridge Models Remove", form, values)
