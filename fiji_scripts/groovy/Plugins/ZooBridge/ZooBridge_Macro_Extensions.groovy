// Made by `zoobridge fiji launchers` from all jobs; changes here are lost.
#@script(label="ZooBridge Macro Extensions", headless=true)
def functions = [
    zooPredict: "predict",
    zooDemo: "demo",
    zooLocalize: "localize",
    zooFilter: "filter",
    zooLink: "link",
    zooDrift: "drift",
    zooRender: "render",
    zooConvert: "convert",
    zooSimulate: "simulate",
    zooEvaluate: "evaluate",
    zooExplain: "explain",
    zooCompare: "compare",
    zooVerify: "verify",
    zooCompareLocalizers: "compare-localizers",
    zooPairs: "pairs",
    zooDegrade: "degrade",
    zooDetect: "detect",
    zooModelsList: "models list",
    zooModelsInfo: "models info",
    zooModelsCheck: "models check",
    zooModelsAdd: "models add",
    zooModelsRemove: "models remove",
    zooTrain: "train",
    zooPackage: "package",
    zooDoctor: "doctor",
    zooModels: "models list",
]
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
kept.client.extend(functions)
