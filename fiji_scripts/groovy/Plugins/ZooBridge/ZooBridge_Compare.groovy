// Made by `zoobridge fiji launchers` from the job `compare`; changes here are lost.
#@script(label="ZooBridge Compare", headless=true)
#@ CharSequence (label="Output", description="Folder for the page, the tables and the trained models; made if missing.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Pairs", description="Folder of image pairs, as 'zoobridge pairs' writes it.", visibility=INVISIBLE, required=false, persist=false, value="") pairs
#@ CharSequence (label="Models", description="Packages to compare: folders, zips or installed names.", visibility=INVISIBLE, required=false, persist=false, value="") models
#@ CharSequence (label="Recipes", description="Recipes to train first (edsr, srgan, sr3, dfcan, or files), in this order.", visibility=INVISIBLE, required=false, persist=false, value="") recipes
#@ CharSequence (label="Minutes", description="Length of each training; 0 takes the recipe's.", visibility=INVISIBLE, required=false, persist=false, value="0.0") minutes
#@ CharSequence (label="Steps", description="Length of each training in steps; 0 takes the recipe's.", visibility=INVISIBLE, required=false, persist=false, value="0") steps
#@ CharSequence (label="Data range", description="What the targets span, from 0; 0 takes it from their percentiles, the same for all.", visibility=INVISIBLE, required=false, persist=false, value="0.0") data_range
#@ CharSequence (label="Lpips weights", description="File of torchvision's AlexNet or VGG-16, for LPIPS; empty measures a stand-in.", visibility=INVISIBLE, required=false, persist=false, value="") lpips_weights
#@ CharSequence (label="Lpips heads", description="File of the linear heads of LPIPS; empty takes those of torchmetrics.", visibility=INVISIBLE, required=false, persist=false, value="") lpips_heads
#@ CharSequence (label="Lpips backbone", description="Which network the weights are of.", visibility=INVISIBLE, required=false, persist=false, value="alex") lpips_backbone
#@ CharSequence (label="Draws", description="Draws of the bootstrap, for intervals and ranks.", visibility=INVISIBLE, required=false, persist=false, value="1000") draws
#@ CharSequence (label="Seed", description="Seed of the draws, and of the trainings.", visibility=INVISIBLE, required=false, persist=false, value="0") seed
#@ CharSequence (label="Device", description="Where to compute: auto, cpu, cuda, cuda:1 or mps.", visibility=INVISIBLE, required=false, persist=false, value="auto") device
#@ CharSequence (label="Trust", description="Let packages run code of their own (remembered for this content).", visibility=INVISIBLE, required=false, persist=false, value="false") trust
#@ CharSequence (label="Overwrite", description="Replace results that are there; trained models stay and are used again.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "output", type: "path", value: "", choices: [], help: "Folder for the page, the tables and the trained models; made if missing.", low: null, high: null],
    [name: "pairs", type: "path", value: "", choices: [], help: "Folder of image pairs, as 'zoobridge pairs' writes it.", low: null, high: null],
    [name: "models", type: "list", value: "", choices: [], help: "Packages to compare: folders, zips or installed names.", low: null, high: null],
    [name: "recipes", type: "list", value: "", choices: [], help: "Recipes to train first (edsr, srgan, sr3, dfcan, or files), in this order.", low: null, high: null],
    [name: "minutes", type: "number", value: "0.0", choices: [], help: "Length of each training; 0 takes the recipe's.", low: 0, high: 100000],
    [name: "steps", type: "whole", value: "0", choices: [], help: "Length of each training in steps; 0 takes the recipe's.", low: 0, high: null],
    [name: "data_range", type: "number", value: "0.0", choices: [], help: "What the targets span, from 0; 0 takes it from their percentiles, the same for all.", low: 0, high: 1000000000000],
    [name: "lpips_weights", type: "text", value: "", choices: [], help: "File of torchvision's AlexNet or VGG-16, for LPIPS; empty measures a stand-in.", low: null, high: null],
    [name: "lpips_heads", type: "text", value: "", choices: [], help: "File of the linear heads of LPIPS; empty takes those of torchmetrics.", low: null, high: null],
    [name: "lpips_backbone", type: "choice", value: "alex", choices: ["alex", "vgg"], help: "Which network the weights are of.", low: null, high: null],
    [name: "draws", type: "whole", value: "1000", choices: [], help: "Draws of the bootstrap, for intervals and ranks.", low: 100, high: 100000],
    [name: "seed", type: "whole", value: "0", choices: [], help: "Seed of the draws, and of the trainings.", low: 0, high: 100000],
    [name: "device", type: "text", value: "auto", choices: [], help: "Where to compute: auto, cpu, cuda, cuda:1 or mps.", low: null, high: null],
    [name: "trust", type: "flag", value: "false", choices: [], help: "Let packages run code of their own (remembered for this content).", low: null, high: null],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace results that are there; trained models stay and are used again.", low: null, high: null],
]
def values = [output: output, pairs: pairs, models: models, recipes: recipes, minutes: minutes, steps: steps, data_range: data_range, lpips_weights: lpips_weights, lpips_heads: lpips_heads, lpips_backbone: lpips_backbone, draws: draws, seed: seed, device: device, trust: trust, overwrite: overwrite]
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
kept.client.run("compare", "ZooBridge Compare", form, values)
