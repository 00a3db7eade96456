// Made by `zoobridge fiji launchers` from the job `render`; changes here are lost.
#@script(label="ZooBridge Render", headless=true)
#@ CharSequence (label="Output", description="Image to write (.tif or .zarr); the picture gets its name, with .png.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Table", description="Localizations: a table of ThunderSTORM, Picasso, DECODE and others.", visibility=INVISIBLE, required=false, persist=false, value="") table
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel in nm; 0 takes what the table's files or the image say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Magnification", description="Output pixels along the edge of a camera pixel.", visibility=INVISIBLE, required=false, persist=false, value="10.0") magnification
#@ CharSequence (label="Method", description="Counts, counts smoothed by a triangle (averaged shifted histogram), or a spot for each.", visibility=INVISIBLE, required=false, persist=false, value="histogram") method
#@ CharSequence (label="Sigma nm", description="Width of the spots (gaussian) in nm; 0 takes each localization's uncertainty.", visibility=INVISIBLE, required=false, persist=false, value="0.0") sigma_nm
#@ CharSequence (label="Shifts", description="Width of the triangle (ash) in output pixels.", visibility=INVISIBLE, required=false, persist=false, value="2") shifts
#@ CharSequence (label="Width px", description="Width of the field in camera pixels; 0 takes the image's or the table's.", visibility=INVISIBLE, required=false, persist=false, value="0") width_px
#@ CharSequence (label="Height px", description="Height of the field in camera pixels; 0 takes the image's or the table's.", visibility=INVISIBLE, required=false, persist=false, value="0") height_px
#@ CharSequence (label="Like", description="Image or movie that the table was made from, to take the field and pixel size from.", visibility=INVISIBLE, required=false, persist=false, value="") like
#@ CharSequence (label="Overwrite", description="Replace an image that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "output", type: "path", value: "", choices: [], help: "Image to write (.tif or .zarr); the picture gets its name, with .png.", low: null, high: null],
    [name: "table", type: "path", value: "", choices: [], help: "Localizations: a table of ThunderSTORM, Picasso, DECODE and others.", low: null, high: null],
    [name: "pixel_size_nm", type: "number", value: "0.0", choices: [], help: "Edge of a camera pixel in nm; 0 takes what the table's files or the image say.", low: 0, high: 100000],
    [name: "magnification", type: "number", value: "10.0", choices: [], help: "Output pixels along the edge of a camera pixel.", low: 0, high: 1000],
    [name: "method", type: "choice", value: "histogram", choices: ["histogram", "ash", "gaussian"], help: "Counts, counts smoothed by a triangle (averaged shifted histogram), or a spot for each.", low: null, high: null],
    [name: "sigma_nm", type: "number", value: "0.0", choices: [], help: "Width of the spots (gaussian) in nm; 0 takes each localization's uncertainty.", low: 0, high: 100000],
    [name: "shifts", type: "whole", value: "2", choices: [], help: "Width of the triangle (ash) in output pixels.", low: 1, high: 100],
    [name: "width_px", type: "whole", value: "0", choices: [], help: "Width of the field in camera pixels; 0 takes the image's or the table's.", low: 0, high: 1000000],
    [name: "height_px", type: "whole", value: "0", choices: [], help: "Height of the field in camera pixels; 0 takes the image's or the table's.", low: 0, high: 1000000],
    [name: "like", type: "text", value: "", choices: [], help: "Image or movie that the table was made from, to take the field and pixel size from.", low: null, high: null],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace an image that is there.", low: null, high: null],
]
def values = [output: output, table: table, pixel_size_nm: pixel_size_nm, magnification: magnification, method: method, sigma_nm: sigma_nm, shifts: shifts, width_px: width_px, height_px: height_px, like: like, overwrite: overwrite]
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
kept.client.run("render", "ZooBridge Render", form, values)
