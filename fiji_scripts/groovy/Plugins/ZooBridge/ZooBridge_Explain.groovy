// Made by `zoobridge fiji launchers` from the job `explain`; changes here are lost.
#@script(label="ZooBridge Explain", headless=true)
#@ CharSequence (label="Model", description="Folder, zip, rdf.yaml or installed name of the model's package.", visibility=INVISIBLE, required=false, persist=false, value="deep-storm") model
#@ CharSequence (label="Output", description="Folder for page.html, report.json and summary.txt; empty writes none.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Image", description="Image that came out badly, as it was given to the model.", visibility=INVISIBLE, required=false, persist=false, value="") image
#@ CharSequence (label="Second", description="Second image, for a model of two inputs: X-Net's MU-SRM.", visibility=INVISIBLE, required=false, persist=false, value="") second
#@ CharSequence (label="Saved", description="What was saved of the output, by any program; empty looks at the model's own.", visibility=INVISIBLE, required=false, persist=false, value="") saved
#@ CharSequence (label="Result", description="Output to judge, by its name; empty takes the fused or first one.", visibility=INVISIBLE, required=false, persist=false, value="") result
#@ CharSequence (label="Repair", description="Write a repaired package into the folder, where running statistics of norms decayed.", visibility=INVISIBLE, required=false, persist=false, value="false") repair
#@ CharSequence (label="Trust", description="Let the package run code of its own (remembered for this content).", visibility=INVISIBLE, required=false, persist=false, value="false") trust
#@ CharSequence (label="Overwrite", description="Replace files that are there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "model", type: "text", value: "deep-storm", choices: [], help: "Folder, zip, rdf.yaml or installed name of the model's package.", low: null, high: null],
    [name: "output", type: "text", value: "", choices: [], help: "Folder for page.html, report.json and summary.txt; empty writes none.", low: null, high: null],
    [name: "image", type: "text", value: "", choices: [], help: "Image that came out badly, as it was given to the model.", low: null, high: null],
    [name: "second", type: "text", value: "", choices: [], help: "Second image, for a model of two inputs: X-Net's MU-SRM.", low: null, high: null],
    [name: "saved", type: "text", value: "", choices: [], help: "What was saved of the output, by any program; empty looks at the model's own.", low: null, high: null],
    [name: "result", type: "text", value: "", choices: [], help: "Output to judge, by its name; empty takes the fused or first one.", low: null, high: null],
    [name: "repair", type: "flag", value: "false", choices: [], help: "Write a repaired package into the folder, where running statistics of norms decayed.", low: null, high: null],
    [name: "trust", type: "flag", value: "false", choices: [], help: "Let the package run code of its own (remembered for this content).", low: null, high: null],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace files that are there.", low: null, high: null],
]
def values = [model: model, output: output, image: image, second: second, saved: saved, result: result, repair: repair, trust: trust, overwrite: overwrite]
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
kept.client.run("explain", "ZooBridge Explain", form, values)
