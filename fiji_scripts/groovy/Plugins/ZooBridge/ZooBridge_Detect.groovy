// Made by `zoobridge fiji launchers` from the job `detect`; changes here are lost.
#@script(label="ZooBridge Detect", headless=true)
#@ CharSequence (label="Model", description="File of a trained Topaz model; Topaz runs the code in it, so only one that you trust.", visibility=INVISIBLE, required=false, persist=false, value="") model
#@ CharSequence (label="Input", description="Images: files or folders.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="Table to write: .csv ours, .txt or .tsv Topaz's; a picture gets its name, with .png.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Radius nm", description="Radius of the structures as they appear, in nm: 0.6 times their width at half height.", visibility=INVISIBLE, required=false, persist=false, value="0.0") radius_nm
#@ CharSequence (label="Radius px", description="The same in pixels, where nm are not given.", visibility=INVISIBLE, required=false, persist=false, value="0.0") radius_px
#@ CharSequence (label="Threshold", description="Least score, response over noise (method log); left out, noise gives 1 in 20 planes.", visibility=INVISIBLE, required=false, persist=false, value="") threshold
#@ CharSequence (label="Min distance px", description="Of two nearer ones the better is kept, in pixels; 0 is one radius.", visibility=INVISIBLE, required=false, persist=false, value="0.0") min_distance_px
#@ CharSequence (label="Least size", description="Structures smaller than this part of the radius are left out; 0 keeps all.", visibility=INVISIBLE, required=false, persist=false, value="0.85") least_size
#@ CharSequence (label="Slices", description="Look into each slice of a stack, or at the brightest value along z.", visibility=INVISIBLE, required=false, persist=false, value="each") slices
#@ CharSequence (label="Channel", description="Channel to look at, from 1; 0 looks at all.", visibility=INVISIBLE, required=false, persist=false, value="0") channel
#@ CharSequence (label="Method", description="Laplacian of a Gaussian, or the command topaz with a model of yours.", visibility=INVISIBLE, required=false, persist=false, value="log") method
#@ CharSequence (label="Truth", description="Table of the true places, ours or Topaz's, to count right and wrong within one radius.", visibility=INVISIBLE, required=false, persist=false, value="") truth
#@ CharSequence (label="Pixel size nm", description="Edge of a pixel in nm; 0 takes what the images say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Axes", description="Axes of the image files, such as zyx, where they don't say or say it wrong.", visibility=INVISIBLE, required=false, persist=false, value="") axes
#@ CharSequence (label="Overwrite", description="Replace a table that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "model", type: "text", value: "", choices: [], help: "File of a trained Topaz model; Topaz runs the code in it, so only one that you trust.", low: null, high: null],
    [name: "input", type: "list", value: "", choices: [], help: "Images: files or folders.", low: null, high: null],
    [name: "output", type: "path", value: "", choices: [], help: "Table to write: .csv ours, .txt or .tsv Topaz's; a picture gets its name, with .png.", low: null, high: null],
    [name: "radius_nm", type: "number", value: "0.0", choices: [], help: "Radius of the structures as they appear, in nm: 0.6 times their width at half height.", low: 0, high: 1000000],
    [name: "radius_px", type: "number", value: "0.0", choices: [], help: "The same in pixels, where nm are not given.", low: 0, high: 10000],
    [name: "threshold", type: "number", value: "", choices: [], help: "Least score, response over noise (method log); left out, noise gives 1 in 20 planes.", low: null, high: null],
    [name: "min_distance_px", type: "number", value: "0.0", choices: [], help: "Of two nearer ones the better is kept, in pixels; 0 is one radius.", low: 0, high: 10000],
    [name: "least_size", type: "number", value: "0.85", choices: [], help: "Structures smaller than this part of the radius are left out; 0 keeps all.", low: 0, high: 1],
    [name: "slices", type: "choice", value: "each", choices: ["each", "projection"], help: "Look into each slice of a stack, or at the brightest value along z.", low: null, high: null],
    [name: "channel", type: "whole", value: "0", choices: [], help: "Channel to look at, from 1; 0 looks at all.", low: 0, high: 10000],
    [name: "method", type: "choice", value: "log", choices: ["log", "topaz"], help: "Laplacian of a Gaussian, or the command topaz with a model of yours.", low: null, high: null],
    [name: "truth", type: "text", value: "", choices: [], help: "Table of the true places, ours or Topaz's, to count right and wrong within one radius.", low: null, high: null],
    [name: "pixel_size_nm", type: "number", value: "0.0", choices: [], help: "Edge of a pixel in nm; 0 takes what the images say.", low: 0, high: 100000],
    [name: "axes", type: "text", value: "", choices: [], help: "Axes of the image files, such as zyx, where they don't say or say it wrong.", low: null, high: null],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace a table that is there.", low: null, high: null],
]
def values = [model: model, input: input, output: output, radius_nm: radius_nm, radius_px: radius_px, threshold: threshold, min_distance_px: min_distance_px, least_size: least_size, slices: slices, channel: channel, method: method, truth: truth, pixel_size_nm: pixel_size_nm, axes: axes, overwrite: overwrite]
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
kept.client.run("detect", "ZooBridge Detect", form, values)
