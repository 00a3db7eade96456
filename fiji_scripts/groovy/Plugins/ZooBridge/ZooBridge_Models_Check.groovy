// Made by `zoobridge fiji launchers` from the job `models check`; changes here are lost.
#@script(label="ZooBridge Models Check", headless=true)
#@ CharSequence (label="Model", description="Folder, .zip, YAML file or name of a model package.", visibility=INVISIBLE, required=false, persist=false, value="deep-storm") model
#@ CharSequence (label="Execute", description="Run the network on its test tensors, in every weights format, whole and in tiles.", visibility=INVISIBLE, required=false, persist=false, value="true") execute
#@ CharSequence (label="Trust", description="Agree that the package may run code of its own.", visibility=INVISIBLE, required=false, persist=false, value="false") trust
def form = [
    [name: "model", type: "text", value: "deep-storm", choices: [], help: "Folder, .zip, YAML file or name of a model package.", low: null, high: null],
    [name: "execute", type: "flag", value: "true", choices: [], help: "Run the network on its test tensors, in every weights format, whole and in tiles.", low: null, high: null],
    [name: "trust", type: "flag", value: "false", choices: [], help: "Agree that the package may run code of its own.", low: null, high: null],
]
def values = [model: model, execute: execute, trust: trust]
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
kept.client.run("models check", "ZooBridge Models Check", form, values)
