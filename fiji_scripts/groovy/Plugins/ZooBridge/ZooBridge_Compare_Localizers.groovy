// Made by `zoobridge fiji launchers` from the job `compare-localizers`; changes here are lost.
#@script(label="ZooBridge Compare Localizers", headless=true)
#@ CharSequence (label="Model", description="Packages to compare; left out, localizer-2d where it is installed.", visibility=INVISIBLE, required=false, persist=false, value="") model
#@ CharSequence (label="Input", description="Own movie to localize instead of simulated scenes; needs its truth.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="Page to write (.html).", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Densities", description="Emitters per square micrometre and frame of the simulated scenes.", visibility=INVISIBLE, required=false, persist=false, value="0.1;0.5;1;3;6") densities
#@ CharSequence (label="Emitter photons", description="Photons of each simulated emitter; 0 takes 1000, or the middle of the model's range.", visibility=INVISIBLE, required=false, persist=false, value="0.0") emitter_photons
#@ CharSequence (label="Background photons", description="Background of the scenes per pixel; 0 takes 10, or the middle of the model's range.", visibility=INVISIBLE, required=false, persist=false, value="0.0") background_photons
#@ CharSequence (label="Sigma nm", description="Width of a simulated spot (standard deviation); 0 takes the middle of the model's range.", visibility=INVISIBLE, required=false, persist=false, value="0.0") sigma_nm
#@ CharSequence (label="Share", description="Part of the usual number of frames; 0.1 is a quick look.", visibility=INVISIBLE, required=false, persist=false, value="1.0") share
#@ CharSequence (label="Fit", description="Compare with the classical fit of single spots.", visibility=INVISIBLE, required=false, persist=false, value="true") fit
#@ CharSequence (label="Picasso", description="Compare with Picasso; auto: where picassosr is installed.", visibility=INVISIBLE, required=false, persist=false, value="auto") picasso
#@ CharSequence (label="Truth", description="Table of the own movie's emitters, one row for each frame in which one shines.", visibility=INVISIBLE, required=false, persist=false, value="") truth
#@ CharSequence (label="Tables", description="Tables that others found in the own movie (ThunderSTORM's, Picasso's, any that is read).", visibility=INVISIBLE, required=false, persist=false, value="") tables
#@ CharSequence (label="Pixel size nm", description="Edge of the own movie's pixels in nm; 0 takes what the movie says.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Camera offset adu", description="Counts of a dark pixel of the own movie's camera; -1 takes the model's.", visibility=INVISIBLE, required=false, persist=false, value="-1.0") camera_offset_adu
#@ CharSequence (label="Photons per adu", description="Photons that one count of the own movie's camera stands for; 0 takes the model's.", visibility=INVISIBLE, required=false, persist=false, value="0.0") photons_per_adu
#@ CharSequence (label="Seed", description="Other simulated scenes of the same kind.", visibility=INVISIBLE, required=false, persist=false, value="0") seed
#@ CharSequence (label="Device", description="Where models compute: auto, cpu, cuda, cuda:1 or mps.", visibility=INVISIBLE, required=false, persist=false, value="auto") device
#@ CharSequence (label="Trust", description="Let packages run code of their own (remembered for this content).", visibility=INVISIBLE, required=false, persist=false, value="false") trust
#@ CharSequence (label="Overwrite", description="Replace results that are there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "model", type: "list", value: "", choices: [], help: "Packages to compare; left out, localizer-2d where it is installed.", low: null, high: null],
    [name: "input", type: "text", value: "", choices: [], help: "Own movie to localize instead of simulated scenes; needs its truth.", low: null, high: null],
    [name: "output", type: "path", value: "", choices: [], help: "Page to write (.html).", low: null, high: null],
    [name: "densities", type: "list", value: "0.1;0.5;1;3;6", choices: [], help: "Emitters per square micrometre and frame of the simulated scenes.", low: null, high: null],
    [name: "emitter_photons", type: "number", value: "0.0", choices: [], help: "Photons of each simulated emitter; 0 takes 1000, or the middle of the model's range.", low: 0, high: 1000000],
    [name: "background_photons", type: "number", value: "0.0", choices: [], help: "Background of the scenes per pixel; 0 takes 10, or the middle of the model's range.", low: 0, high: 100000],
    [name: "sigma_nm", type: "number", value: "0.0", choices: [], help: "Width of a simulated spot (standard deviation); 0 takes the middle of the model's range.", low: 0, high: 10000],
    [name: "share", type: "number", value: "1.0", choices: [], help: "Part of the usual number of frames; 0.1 is a quick look.", low: 0, high: 10],
    [name: "fit", type: "flag", value: "true", choices: [], help: "Compare with the classical fit of single spots.", low: null, high: null],
    [name: "picasso", type: "choice", value: "auto", choices: ["auto", "yes", "no"], help: "Compare with Picasso; auto: where picassosr is installed.", low: null, high: null],
    [name: "truth", type: "text", value: "", choices: [], help: "Table of the own movie's emitters, one row for each frame in which one shines.", low: null, high: null],
    [name: "tables", type: "list", value: "", choices: [], help: "Tables that others found in the own movie (ThunderSTORM's, Picasso's, any that is read).", low: null, high: null],
    [name: "pixel_size_nm", type: "number", value: "0.0", choices: [], help: "Edge of the own movie's pixels in nm; 0 takes what the movie says.", low: 0, high: 100000],
    [name: "camera_offset_adu", type: "number", value: "-1.0", choices: [], help: "Counts of a dark pixel of the own movie's camera; -1 takes the model's.", low: -1, high: 65535],
    [name: "photons_per_adu", type: "number", value: "0.0", choices: [], help: "Photons that one count of the own movie's camera stands for; 0 takes the model's.", low: 0, high: 10000],
    [name: "seed", type: "whole", value: "0", choices: [], help: "Other simulated scenes of the same kind.", low: 0, high: 100000],
    [name: "device", type: "text", value: "auto", choices: [], help: "Where models compute: auto, cpu, cuda, cuda:1 or mps.", low: null, high: null],
    [name: "trust", type: "flag", value: "false", choices: [], help: "Let packages run code of their own (remembered for this content).", low: null, high: null],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace results that are there.", low: null, high: null],
]
def values = [model: model, input: input, output: output, densities: densities, emitter_photons: emitter_photons, background_photons: background_photons, sigma_nm: sigma_nm, share: share, fit: fit, picasso: picasso, truth: truth, tables: tables, pixel_size_nm: pixel_size_nm, camera_offset_adu: camera_offset_adu, photons_per_adu: photons_per_adu, seed: seed, device: device, trust: trust, overwrite: overwrite]
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
kept.client.run("compare-localizers", "ZooBridge Compare Localizers", form, values)
