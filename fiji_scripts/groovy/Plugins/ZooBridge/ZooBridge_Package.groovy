// Made by `zoobridge fiji launchers` from the job `package`; changes here are lost.
#@script(label="ZooBridge Package", headless=true)
#@ CharSequence (label="Input", description="Folder of the run.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="Folder of the package; none takes the run's own.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Overwrite", description="Replace a package that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "input", type: "path", value: "", choices: [], help: "Folder of the run.", low: null, high: null],
    [name: "output", type: "path", value: "", choices: [], help: "Folder of the package; none takes the run's own.", low: null, high: null],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace a package that is there.", low: null, high: null],
]
def values = [input: input, output: output, overwrite: overwrite]
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
kept.client.run("package", "ZooBridge Package", form, values)
