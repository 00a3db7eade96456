// Made by `zoobridge fiji launchers` from the job `filter`; changes here are lost.
#@script(label="ZooBridge Filter", headless=true)
#@ CharSequence (label="Output", description="Table to write (.csv or .hdf5).", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Table", description="Localizations: a table of ThunderSTORM, Picasso, DECODE and others.", visibility=INVISIBLE, required=false, persist=false, value="") table
#@ CharSequence (label="Keep", description="Condition of the rows to keep, such as uncertainty_xy_nm < 20 and photons > 300.", visibility=INVISIBLE, required=false, persist=false, value="") keep
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel in nm; 0 takes what the table's files say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Overwrite", description="Replace a table that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "output", type: "path", value: "", choices: [], help: "Table to write (.csv or .hdf5).", low: null, high: null],
    [name: "table", type: "path", value: "", choices: [], help: "Localizations: a table of ThunderSTORM, Picasso, DECODE and others.", low: null, high: null],
    [name: "keep", type: "text", value: "", choices: [], help: "Condition of the rows to keep, such as uncertainty_xy_nm < 20 and photons > 300.", low: null, high: null],
    [name: "pixel_size_nm", type: "number", value: "0.0", choices: [], help: "Edge of a camera pixel in nm; 0 takes what the table's files say.", low: 0, high: 100000],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace a table that is there.", low: null, high: null],
]
def values = [output: output, table: table, keep: keep, pixel_size_nm: pixel_size_nm, overwrite: overwrite]
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
kept.client.run("filter", "ZooBridge Filter", form, values)
