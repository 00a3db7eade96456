// Made by `zoobridge fiji launchers` from the job `drift`; changes here are lost.
#@script(label="ZooBridge Drift", headless=true)
#@ CharSequence (label="Output", description="Table to write (.csv or .hdf5).", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Table", description="Localizations: a table of ThunderSTORM, Picasso, DECODE and others.", visibility=INVISIBLE, required=false, persist=false, value="") table
#@ CharSequence (label="Segment frames", description="Frames in a segment; 0 chooses, so that there are 10 to 30 segments, or fewer if needed.", visibility=INVISIBLE, required=false, persist=false, value="0") segment_frames
#@ CharSequence (label="Max drift nm", description="Largest drift between any two segments along an axis, in nm.", visibility=INVISIBLE, required=false, persist=false, value="1000.0") max_drift_nm
#@ CharSequence (label="Render pixel nm", description="Edge of a pixel of the correlated images in nm; 0 takes 20, more for large fields.", visibility=INVISIBLE, required=false, persist=false, value="0.0") render_pixel_nm
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel in nm; 0 takes what the table's files say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Overwrite", description="Replace files that are there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "output", type: "path", value: "", choices: [], help: "Table to write (.csv or .hdf5).", low: null, high: null],
    [name: "table", type: "path", value: "", choices: [], help: "Localizations: a table of ThunderSTORM, Picasso, DECODE and others.", low: null, high: null],
    [name: "segment_frames", type: "whole", value: "0", choices: [], help: "Frames in a segment; 0 chooses, so that there are 10 to 30 segments, or fewer if needed.", low: 0, high: null],
    [name: "max_drift_nm", type: "number", value: "1000.0", choices: [], help: "Largest drift between any two segments along an axis, in nm.", low: 0, high: 100000],
    [name: "render_pixel_nm", type: "number", value: "0.0", choices: [], help: "Edge of a pixel of the correlated images in nm; 0 takes 20, more for large fields.", low: 0, high: 10000],
    [name: "pixel_size_nm", type: "number", value: "0.0", choices: [], help: "Edge of a camera pixel in nm; 0 takes what the table's files say.", low: 0, high: 100000],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace files that are there.", low: null, high: null],
]
def values = [output: output, table: table, segment_frames: segment_frames, max_drift_nm: max_drift_nm, render_pixel_nm: render_pixel_nm, pixel_size_nm: pixel_size_nm, overwrite: overwrite]
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
kept.client.run("drift", "ZooBridge Drift", form, values)
