// Made by `zoobridge fiji launchers` from the job `predict`; changes here are lost.
#@script(label="ZooBridge Predict", headless=true)
#@ CharSequence (label="Model", description="Folder, zip, rdf.yaml or installed name of a BioImage Model Zoo package.", visibility=INVISIBLE, required=false, persist=false, value="deep-storm") model
#@ CharSequence (label="Input", description="Images: files or folders (TIFF, OME-Zarr, PNG, .npy); NAME=FILE for several inputs.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="File (.tif or .zarr) or folder for the result.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Sum", description="Add up the outputs of all frames of a movie, and write one image.", visibility=INVISIBLE, required=false, persist=false, value="false") sum
#@ CharSequence (label="Tile", description="Longest tile edge in input pixels; 0 chooses one that fits the memory.", visibility=INVISIBLE, required=false, persist=false, value="0") tile
#@ CharSequence (label="Halo", description="Input pixels read around each tile; -1 takes what the network needs.", visibility=INVISIBLE, required=false, persist=false, value="-1") halo
#@ CharSequence (label="Batch", description="Tiles run at once; 0 chooses.", visibility=INVISIBLE, required=false, persist=false, value="0") batch
#@ CharSequence (label="Device", description="Where to compute: auto, cpu, cuda, cuda:1 or mps.", visibility=INVISIBLE, required=false, persist=false, value="auto") device
#@ CharSequence (label="Engine", description="Who computes; auto takes the fastest that the package and this machine have.", visibility=INVISIBLE, required=false, persist=false, value="auto") engine
#@ CharSequence (label="Precision", description="Arithmetic; the shorter ones are faster and less exact.", visibility=INVISIBLE, required=false, persist=false, value="float32") precision
#@ CharSequence (label="Axes", description="Axes of the image files, such as tyx, where they don't say or say it wrong.", visibility=INVISIBLE, required=false, persist=false, value="") axes
#@ CharSequence (label="Channel", description="Channel to use, from 1; 0 uses all.", visibility=INVISIBLE, required=false, persist=false, value="0") channel
#@ CharSequence (label="Each colour", description="Run each channel by its own pass, and merge the results into one composite.", visibility=INVISIBLE, required=false, persist=false, value="false") each_colour
#@ CharSequence (label="Trust", description="Let the package run code of its own (remembered for this content).", visibility=INVISIBLE, required=false, persist=false, value="false") trust
#@ CharSequence (label="Overwrite", description="Replace a result that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
#@ CharSequence (label="Resume", description="Continue an interrupted run; a sum always starts afresh.", visibility=INVISIBLE, required=false, persist=false, value="false") resume
#@ CharSequence (label="Consistency", description="Check that the result, blurred again, gives the input back: figures and a picture beside.", visibility=INVISIBLE, required=false, persist=false, value="true") consistency
#@ CharSequence (label="Report", description="File for the report; empty puts it beside the result.", visibility=INVISIBLE, required=false, persist=false, value="") report
#@ CharSequence (label="Cluster", description="Address of a dask scheduler that gets the images; empty computes here.", visibility=INVISIBLE, required=false, persist=false, value="") cluster
def form = [
    [name: "model", type: "text", value: "deep-storm", choices: [], help: "Folder, zip, rdf.yaml or installed name of a BioImage Model Zoo package.", low: null, high: null],
    [name: "input", type: "list", value: "", choices: [], help: "Images: files or folders (TIFF, OME-Zarr, PNG, .npy); NAME=FILE for several inputs.", low: null, high: null],
    [name: "output", type: "path", value: "", choices: [], help: "File (.tif or .zarr) or folder for the result.", low: null, high: null],
    [name: "sum", type: "flag", value: "false", choices: [], help: "Add up the outputs of all frames of a movie, and write one image.", low: null, high: null],
    [name: "tile", type: "whole", value: "0", choices: [], help: "Longest tile edge in input pixels; 0 chooses one that fits the memory.", low: 0, high: 1000000],
    [name: "halo", type: "whole", value: "-1", choices: [], help: "Input pixels read around each tile; -1 takes what the network needs.", low: -1, high: 100000],
    [name: "batch", type: "whole", value: "0", choices: [], help: "Tiles run at once; 0 chooses.", low: 0, high: 4096],
    [name: "device", type: "text", value: "auto", choices: [], help: "Where to compute: auto, cpu, cuda, cuda:1 or mps.", low: null, high: null],
    [name: "engine", type: "choice", value: "auto", choices: ["auto", "openvino", "onnxruntime", "torch", "torchscript"], help: "Who computes; auto takes the fastest that the package and this machine have.", low: null, high: null],
    [name: "precision", type: "choice", value: "float32", choices: ["float32", "bfloat16", "float16"], help: "Arithmetic; the shorter ones are faster and less exact.", low: null, high: null],
    [name: "axes", type: "text", value: "", choices: [], help: "Axes of the image files, such as tyx, where they don't say or say it wrong.", low: null, high: null],
    [name: "channel", type: "whole", value: "0", choices: [], help: "Channel to use, from 1; 0 uses all.", low: 0, high: null],
    [name: "each_colour", type: "flag", value: "false", choices: [], help: "Run each channel by its own pass, and merge the results into one composite.", low: null, high: null],
    [name: "trust", type: "flag", value: "false", choices: [], help: "Let the package run code of its own (remembered for this content).", low: null, high: null],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace a result that is there.", low: null, high: null],
    [name: "resume", type: "flag", value: "false", choices: [], help: "Continue an interrupted run; a sum always starts afresh.", low: null, high: null],
    [name: "consistency", type: "flag", value: "true", choices: [], help: "Check that the result, blurred again, gives the input back: figures and a picture beside.", low: null, high: null],
    [name: "report", type: "text", value: "", choices: [], help: "File for the report; empty puts it beside the result.", low: null, high: null],
    [name: "cluster", type: "text", value: "", choices: [], help: "Address of a dask scheduler that gets the images; empty computes here.", low: null, high: null],
]
def values = [model: model, input: input, output: output, sum: sum, tile: tile, halo: halo, batch: batch, device: device, engine: engine, precision: precision, axes: axes, channel: channel, each_colour: each_colour, trust: trust, overwrite: overwrite, resume: resume, consistency: consistency, report: report, cluster: cluster]
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
kept.client.run("predict", "ZooBridge Predict", form, values)
