// Made by `zoobridge fiji launchers` from the job `localize`; changes here are lost.
#@script(label="ZooBridge Localize", headless=true)
#@ CharSequence (label="Model", description="Folder, zip, rdf.yaml or installed name of a package, such as deep-storm.", visibility=INVISIBLE, required=false, persist=false, value="deep-storm") model
#@ CharSequence (label="Input", description="Movie of raw camera frames (TIFF, OME-Zarr, .npy).", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="Table to write (.csv or .hdf5).", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Threshold", description="Least probability (auto: 0.5); for heatmaps auto, a share (20%) or a height (2.5).", visibility=INVISIBLE, required=false, persist=false, value="auto") threshold
#@ CharSequence (label="Radius px", description="Heatmaps: pixels around a peak that belong to it; 0 takes about 60 nm, 1 to 5.", visibility=INVISIBLE, required=false, persist=false, value="0") radius_px
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel in nm; 0 takes what the movie says.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Camera offset adu", description="Counts of a dark pixel of the movie's camera; -1 takes the one that a localizer expects.", visibility=INVISIBLE, required=false, persist=false, value="-1.0") camera_offset_adu
#@ CharSequence (label="Photons per adu", description="Photons that one count of the movie's camera stands for; 0 takes what a localizer expects.", visibility=INVISIBLE, required=false, persist=false, value="0.0") photons_per_adu
#@ CharSequence (label="Offset x px", description="Column of the whole field at which the movie starts, added to x, in camera pixels.", visibility=INVISIBLE, required=false, persist=false, value="0") offset_x_px
#@ CharSequence (label="Offset y px", description="Row of the whole field at which the movie starts, added to y, in camera pixels.", visibility=INVISIBLE, required=false, persist=false, value="0") offset_y_px
#@ CharSequence (label="Anyway", description="Go on where the movie contradicts what a localizer was trained on.", visibility=INVISIBLE, required=false, persist=false, value="false") anyway
#@ CharSequence (label="Tile", description="Longest tile edge in camera pixels; 0 chooses one that fits the memory.", visibility=INVISIBLE, required=false, persist=false, value="0") tile
#@ CharSequence (label="Batch", description="Tiles run at once; 0 chooses.", visibility=INVISIBLE, required=false, persist=false, value="0") batch
#@ CharSequence (label="Device", description="Where to compute: auto, cpu, cuda, cuda:1 or mps.", visibility=INVISIBLE, required=false, persist=false, value="auto") device
#@ CharSequence (label="Engine", description="Who computes; auto takes the fastest that the package and this machine have.", visibility=INVISIBLE, required=false, persist=false, value="auto") engine
#@ CharSequence (label="Precision", description="Arithmetic; the shorter ones are faster and less exact.", visibility=INVISIBLE, required=false, persist=false, value="float32") precision
#@ CharSequence (label="Axes", description="Axes of the movie, such as tyx, where the file doesn't say or says it wrong.", visibility=INVISIBLE, required=false, persist=false, value="") axes
#@ CharSequence (label="Channel", description="Channel to use, from 1; 0 uses all.", visibility=INVISIBLE, required=false, persist=false, value="0") channel
#@ CharSequence (label="Trust", description="Let the package run code of its own (remembered for this content).", visibility=INVISIBLE, required=false, persist=false, value="false") trust
#@ CharSequence (label="Overwrite", description="Replace a table that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
#@ CharSequence (label="Resume", description="Continue an interrupted run.", visibility=INVISIBLE, required=false, persist=false, value="false") resume
def form = [
    [name: "model", type: "text", value: "deep-storm", choices: [], help: "Folder, zip, rdf.yaml or installed name of a package, such as deep-storm.", low: null, high: null],
    [name: "input", type: "path", value: "", choices: [], help: "Movie of raw camera frames (TIFF, OME-Zarr, .npy).", low: null, high: null],
    [name: "output", type: "path", value: "", choices: [], help: "Table to write (.csv or .hdf5).", low: null, high: null],
    [name: "threshold", type: "text", value: "auto", choices: [], help: "Least probability (auto: 0.5); for heatmaps auto, a share (20%) or a height (2.5).", low: null, high: null],
    [name: "radius_px", type: "whole", value: "0", choices: [], help: "Heatmaps: pixels around a peak that belong to it; 0 takes about 60 nm, 1 to 5.", low: 0, high: 100],
    [name: "pixel_size_nm", type: "number", value: "0.0", choices: [], help: "Edge of a camera pixel in nm; 0 takes what the movie says.", low: 0, high: 100000],
    [name: "camera_offset_adu", type: "number", value: "-1.0", choices: [], help: "Counts of a dark pixel of the movie's camera; -1 takes the one that a localizer expects.", low: -1, high: 65535],
    [name: "photons_per_adu", type: "number", value: "0.0", choices: [], help: "Photons that one count of the movie's camera stands for; 0 takes what a localizer expects.", low: 0, high: 10000],
    [name: "offset_x_px", type: "whole", value: "0", choices: [], help: "Column of the whole field at which the movie starts, added to x, in camera pixels.", low: 0, high: 1000000],
    [name: "offset_y_px", type: "whole", value: "0", choices: [], help: "Row of the whole field at which the movie starts, added to y, in camera pixels.", low: 0, high: 1000000],
    [name: "anyway", type: "flag", value: "false", choices: [], help: "Go on where the movie contradicts what a localizer was trained on.", low: null, high: null],
    [name: "tile", type: "whole", value: "0", choices: [], help: "Longest tile edge in camera pixels; 0 chooses one that fits the memory.", low: 0, high: 1000000],
    [name: "batch", type: "whole", value: "0", choices: [], help: "Tiles run at once; 0 chooses.", low: 0, high: 4096],
    [name: "device", type: "text", value: "auto", choices: [], help: "Where to compute: auto, cpu, cuda, cuda:1 or mps.", low: null, high: null],
    [name: "engine", type: "choice", value: "auto", choices: ["auto", "openvino", "onnxruntime", "torch", "torchscript"], help: "Who computes; auto takes the fastest that the package and this machine have.", low: null, high: null],
    [name: "precision", type: "choice", value: "float32", choices: ["float32", "bfloat16", "float16"], help: "Arithmetic; the shorter ones are faster and less exact.", low: null, high: null],
    [name: "axes", type: "text", value: "", choices: [], help: "Axes of the movie, such as tyx, where the file doesn't say or says it wrong.", low: null, high: null],
    [name: "channel", type: "whole", value: "0", choices: [], help: "Channel to use, from 1; 0 uses all.", low: 0, high: null],
    [name: "trust", type: "flag", value: "false", choices: [], help: "Let the package run code of its own (remembered for this content).", low: null, high: null],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace a table that is there.", low: null, high: null],
    [name: "resume", type: "flag", value: "false", choices: [], help: "Continue an interrupted run.", low: null, high: null],
]
def values = [model: model, input: input, output: output, threshold: threshold, radius_px: radius_px, pixel_size_nm: pixel_size_nm, camera_offset_adu: camera_offset_adu, photons_per_adu: photons_per_adu, offset_x_px: offset_x_px, offset_y_px: offset_y_px, anyway: anyway, tile: tile, batch: batch, device: device, engine: engine, precision: precision, axes: axes, channel: channel, trust: trust, overwrite: overwrite, resume: resume]
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
kept.client.run("localize", "ZooBridge Localize", form, values)
