// Made by `zoobridge fiji launchers` from the job `convert`; changes here are lost.
#@script(label="ZooBridge Convert", headless=true)
#@ CharSequence (label="Input", description="Tables: CSV or other text, or HDF5.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="Table to write (.csv, .hdf5), or a folder for several.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Format", description="Whose table to write; auto goes by the ending, and is ThunderSTORM's in a folder.", visibility=INVISIBLE, required=false, persist=false, value="auto") format
#@ CharSequence (label="Read as", description="Whose table the input is; auto tells by its content.", visibility=INVISIBLE, required=false, persist=false, value="auto") read_as
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel in nm; 0 takes what the files, or the movie, say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Photons per adu", description="Photons per camera count above the base level; 0 takes what the files say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") photons_per_adu
#@ CharSequence (label="Frame base", description="Number of the first frame in the input; auto goes by its format.", visibility=INVISIBLE, required=false, persist=false, value="auto") frame_base
#@ CharSequence (label="Origin x nm", description="Left edge of the analysed region in the image, in nm; added to x.", visibility=INVISIBLE, required=false, persist=false, value="0.0") origin_x_nm
#@ CharSequence (label="Origin y nm", description="Upper edge of the analysed region in the image, in nm; added to y.", visibility=INVISIBLE, required=false, persist=false, value="0.0") origin_y_nm
#@ CharSequence (label="Pixel origin", description="Where coordinate 0 is in the first pixel; auto goes by the format.", visibility=INVISIBLE, required=false, persist=false, value="auto") pixel_origin
#@ CharSequence (label="Swap xy", description="Exchange x and y.", visibility=INVISIBLE, required=false, persist=false, value="false") swap_xy
#@ CharSequence (label="Stack", description="Movie that the table was made from, to check that they fit; empty checks nothing.", visibility=INVISIBLE, required=false, persist=false, value="") stack
#@ CharSequence (label="Overwrite", description="Replace a table that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "input", type: "list", value: "", choices: [], help: "Tables: CSV or other text, or HDF5.", low: null, high: null],
    [name: "output", type: "path", value: "", choices: [], help: "Table to write (.csv, .hdf5), or a folder for several.", low: null, high: null],
    [name: "format", type: "choice", value: "auto", choices: ["auto", "thunderstorm", "picasso", "decode"], help: "Whose table to write; auto goes by the ending, and is ThunderSTORM's in a folder.", low: null, high: null],
    [name: "read_as", type: "choice", value: "auto", choices: ["auto", "thunderstorm", "picasso", "decode", "smap", "challenge", "nstorm"], help: "Whose table the input is; auto tells by its content.", low: null, high: null],
    [name: "pixel_size_nm", type: "number", value: "0.0", choices: [], help: "Edge of a camera pixel in nm; 0 takes what the files, or the movie, say.", low: 0, high: 100000],
    [name: "photons_per_adu", type: "number", value: "0.0", choices: [], help: "Photons per camera count above the base level; 0 takes what the files say.", low: 0, high: null],
    [name: "frame_base", type: "choice", value: "auto", choices: ["auto", "0", "1"], help: "Number of the first frame in the input; auto goes by its format.", low: null, high: null],
    [name: "origin_x_nm", type: "number", value: "0.0", choices: [], help: "Left edge of the analysed region in the image, in nm; added to x.", low: null, high: null],
    [name: "origin_y_nm", type: "number", value: "0.0", choices: [], help: "Upper edge of the analysed region in the image, in nm; added to y.", low: null, high: null],
    [name: "pixel_origin", type: "choice", value: "auto", choices: ["auto", "corner", "centre"], help: "Where coordinate 0 is in the first pixel; auto goes by the format.", low: null, high: null],
    [name: "swap_xy", type: "flag", value: "false", choices: [], help: "Exchange x and y.", low: null, high: null],
    [name: "stack", type: "text", value: "", choices: [], help: "Movie that the table was made from, to check that they fit; empty checks nothing.", low: null, high: null],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace a table that is there.", low: null, high: null],
]
def values = [input: input, output: output, format: format, read_as: read_as, pixel_size_nm: pixel_size_nm, photons_per_adu: photons_per_adu, frame_base: frame_base, origin_x_nm: origin_x_nm, origin_y_nm: origin_y_nm, pixel_origin: pixel_origin, swap_xy: swap_xy, stack: stack, overwrite: overwrite]
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
kept.client.run("convert", "ZooBridge Convert", form, values)
