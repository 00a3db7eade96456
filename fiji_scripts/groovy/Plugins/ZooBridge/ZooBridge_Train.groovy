// Made by `zoobridge fiji launchers` from the job `train`; changes here are lost.
#@script(label="ZooBridge Train", headless=true)
#@ CharSequence (label="Output", description="Folder of the run; made if missing.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Recipe", description="Recipe (YAML), or a shipped one: deep-storm, localizer, edsr, srgan, sr3, xmicroscopy ...", visibility=INVISIBLE, required=false, persist=false, value="deep-storm") recipe
#@ CharSequence (label="Stack", description="Movie to learn from, TIFF; its right half judges. A localizer measures it.", visibility=INVISIBLE, required=false, persist=false, value="") stack
#@ CharSequence (label="Table", description="Localizations in this movie, as ThunderSTORM exports them; a localizer is made like them.", visibility=INVISIBLE, required=false, persist=false, value="") table
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel; 0 takes it from the table's protocol, the stack or the recipe.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Simulate", description="Whether to learn from a simulation too; auto: only where there is no movie.", visibility=INVISIBLE, required=false, persist=false, value="auto") simulate
#@ CharSequence (label="Like", description="Table whose density, photons, widths and background the simulation takes over.", visibility=INVISIBLE, required=false, persist=false, value="") like
#@ CharSequence (label="Pairs", description="Folder of image pairs, as `zoobridge pairs` makes it; for edsr, srgan, sr3, dfcan ...", visibility=INVISIBLE, required=false, persist=false, value="") pairs
#@ CharSequence (label="Camera offset adu", description="Counts of a dark pixel; -1 takes it from the table's protocol or the recipe.", visibility=INVISIBLE, required=false, persist=false, value="-1.0") camera_offset_adu
#@ CharSequence (label="Electrons per adu", description="Electrons per count; 0 takes it from the table's protocol or the recipe.", visibility=INVISIBLE, required=false, persist=false, value="0.0") electrons_per_adu
#@ CharSequence (label="Em gain", description="Electron multiplication gain; 0 takes it from the table's protocol or the recipe.", visibility=INVISIBLE, required=false, persist=false, value="0.0") em_gain
#@ CharSequence (label="Minutes", description="Length of the training; 0 takes the recipe's.", visibility=INVISIBLE, required=false, persist=false, value="0.0") minutes
#@ CharSequence (label="Steps", description="Length in steps; 0 takes the recipe's.", visibility=INVISIBLE, required=false, persist=false, value="0") steps
#@ CharSequence (label="Seed", description="Seed of weights and data; -1 takes the recipe's.", visibility=INVISIBLE, required=false, persist=false, value="-1") seed
#@ CharSequence (label="Device", description="Where to train.", visibility=INVISIBLE, required=false, persist=false, value="auto") device
#@ CharSequence (label="Change", description="Other values of the recipe, KEY=VALUE, such as fit.learning_rate=0.001.", visibility=INVISIBLE, required=false, persist=false, value="") change
#@ CharSequence (label="Resume", description="Go on with the run in the folder.", visibility=INVISIBLE, required=false, persist=false, value="false") resume
def form = [
    [name: "output", type: "path", value: "", choices: [], help: "Folder of the run; made if missing.", low: null, high: null],
    [name: "recipe", type: "text", value: "deep-storm", choices: [], help: "Recipe (YAML), or a shipped one: deep-storm, localizer, edsr, srgan, sr3, xmicroscopy ...", low: null, high: null],
    [name: "stack", type: "text", value: "", choices: [], help: "Movie to learn from, TIFF; its right half judges. A localizer measures it.", low: null, high: null],
    [name: "table", type: "text", value: "", choices: [], help: "Localizations in this movie, as ThunderSTORM exports them; a localizer is made like them.", low: null, high: null],
    [name: "pixel_size_nm", type: "number", value: "0.0", choices: [], help: "Edge of a camera pixel; 0 takes it from the table's protocol, the stack or the recipe.", low: 0, high: 10000],
    [name: "simulate", type: "choice", value: "auto", choices: ["auto", "always", "never"], help: "Whether to learn from a simulation too; auto: only where there is no movie.", low: null, high: null],
    [name: "like", type: "text", value: "", choices: [], help: "Table whose density, photons, widths and background the simulation takes over.", low: null, high: null],
    [name: "pairs", type: "text", value: "", choices: [], help: "Folder of image pairs, as `zoobridge pairs` makes it; for edsr, srgan, sr3, dfcan ...", low: null, high: null],
    [name: "camera_offset_adu", type: "number", value: "-1.0", choices: [], help: "Counts of a dark pixel; -1 takes it from the table's protocol or the recipe.", low: -1, high: 100000],
    [name: "electrons_per_adu", type: "number", value: "0.0", choices: [], help: "Electrons per count; 0 takes it from the table's protocol or the recipe.", low: 0, high: 10000],
    [name: "em_gain", type: "number", value: "0.0", choices: [], help: "Electron multiplication gain; 0 takes it from the table's protocol or the recipe.", low: 0, high: 10000],
    [name: "minutes", type: "number", value: "0.0", choices: [], help: "Length of the training; 0 takes the recipe's.", low: 0, high: 100000],
    [name: "steps", type: "whole", value: "0", choices: [], help: "Length in steps; 0 takes the recipe's.", low: 0, high: null],
    [name: "seed", type: "whole", value: "-1", choices: [], help: "Seed of weights and data; -1 takes the recipe's.", low: -1, high: null],
    [name: "device", type: "choice", value: "auto", choices: ["auto", "cpu", "cuda"], help: "Where to train.", low: null, high: null],
    [name: "change", type: "list", value: "", choices: [], help: "Other values of the recipe, KEY=VALUE, such as fit.learning_rate=0.001.", low: null, high: null],
    [name: "resume", type: "flag", value: "false", choices: [], help: "Go on with the run in the folder.", low: null, high: null],
]
def values = [output: output, recipe: recipe, stack: stack, table: table, pixel_size_nm: pixel_size_nm, simulate: simulate, like: like, pairs: pairs, camera_offset_adu: camera_offset_adu, electrons_per_adu: electrons_per_adu, em_gain: em_gain, minutes: minutes, steps: steps, seed: seed, device: device, change: change, resume: resume]
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
kept.client.run("train", "ZooBridge Train", form, values)
