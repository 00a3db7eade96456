// Made by `zoobridge fiji launchers` from the job `verify`; changes here are lost.
#@script(label="ZooBridge Verify", headless=true)
#@ CharSequence (label="Model", description="Packages that restore: folders, zips or installed names; several make an ensemble.", visibility=INVISIBLE, required=false, persist=false, value="deep-storm") model
#@ CharSequence (label="Input", description="The image before; of a stack the first plane.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="Page (.html) to write; the mean and the spread lie beside it.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Input fwhm nm", description="Width of the input's PSF in nm; with the target's the blur is known, else it is fitted.", visibility=INVISIBLE, required=false, persist=false, value="0.0") input_fwhm_nm
#@ CharSequence (label="Target fwhm nm", description="Width of the PSF that the models' outputs have, in nm.", visibility=INVISIBLE, required=false, persist=false, value="0.0") target_fwhm_nm
#@ CharSequence (label="Turn", description="Whether each model restores all eight orientations; off it restores the image once.", visibility=INVISIBLE, required=false, persist=false, value="true") turn
#@ CharSequence (label="Device", description="Where to compute: auto, cpu, cuda, cuda:1 or mps.", visibility=INVISIBLE, required=false, persist=false, value="auto") device
#@ CharSequence (label="Axes", description="Axes of the image file, such as tyx, where it doesn't say or says it wrong.", visibility=INVISIBLE, required=false, persist=false, value="") axes
#@ CharSequence (label="Trust", description="Let packages run code of their own (remembered for this content).", visibility=INVISIBLE, required=false, persist=false, value="false") trust
#@ CharSequence (label="Overwrite", description="Replace files that are there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "model", type: "list", value: "deep-storm", choices: [], help: "Packages that restore: folders, zips or installed names; several make an ensemble.", low: null, high: null],
    [name: "input", type: "path", value: "", choices: [], help: "The image before; of a stack the first plane.", low: null, high: null],
    [name: "output", type: "path", value: "", choices: [], help: "Page (.html) to write; the mean and the spread lie beside it.", low: null, high: null],
    [name: "input_fwhm_nm", type: "number", value: "0.0", choices: [], help: "Width of the input's PSF in nm; with the target's the blur is known, else it is fitted.", low: 0, high: 100000],
    [name: "target_fwhm_nm", type: "number", value: "0.0", choices: [], help: "Width of the PSF that the models' outputs have, in nm.", low: 0, high: 100000],
    [name: "turn", type: "flag", value: "true", choices: [], help: "Whether each model restores all eight orientations; off it restores the image once.", low: null, high: null],
    [name: "device", type: "text", value: "auto", choices: [], help: "Where to compute: auto, cpu, cuda, cuda:1 or mps.", low: null, high: null],
    [name: "axes", type: "text", value: "", choices: [], help: "Axes of the image file, such as tyx, where it doesn't say or says it wrong.", low: null, high: null],
    [name: "trust", type: "flag", value: "false", choices: [], help: "Let packages run code of their own (remembered for this content).", low: null, high: null],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace files that are there.", low: null, high: null],
]
def values = [model: model, input: input, output: output, input_fwhm_nm: input_fwhm_nm, target_fwhm_nm: target_fwhm_nm, turn: turn, device: device, axes: axes, trust: trust, overwrite: overwrite]
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
kept.client.run("verify", "ZooBridge Verify", form, values)
