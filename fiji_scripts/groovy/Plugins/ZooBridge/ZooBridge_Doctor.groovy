// Made by `zoobridge fiji launchers` from the job `doctor`; changes here are lost.
#@script(label="ZooBridge Doctor", headless=true)
def form = []
def values = [:]
def file = [System.getProperty("ij.dir"), ij.IJ.getDir("imagej")].findAll { it }
    .collect { new File(it, "zoobridge/ZooBridge.groovy") }.find { it.isFile() }
if (file == null) {
    ij.IJ.log("ZooBridge: zoobridge/ZooBridge.groovy is missing in this Fiji. "
        + "In a terminal, run zoobridge fiji install.")
    ij.Macro.abort()
    return
}
def kept = ij.IJ.getProperty("zoobridge.client")
if (kept == null || kept.date != file.lastModified()) {
    def type = new GroovyClassLoader(getClass().classLoader).parseClass(file)
    kept = [date: file.lastModified(), client: type.getDeclaredConstructor().newInstance()]
    ij.IJ.setProperty("zoobridge.client", kept)
}
kept.client.run("doctor", "ZooBridge Doctor", form, values)
