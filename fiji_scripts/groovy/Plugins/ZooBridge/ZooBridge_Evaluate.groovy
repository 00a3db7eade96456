// Made by `zoobridge fiji launchers` from the job `evaluate`; changes here are lost.
#@script(label="ZooBridge Evaluate", headless=true)
#@ CharSequence (label="Output", description="Page to write (.html); empty writes none.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Table", description="Table of localizations to judge.", visibility=INVISIBLE, required=false, persist=false, value="") table
#@ CharSequence (label="Truth", description="Table of the true emitters, one row for each frame in which one shines.", visibility=INVISIBLE, required=false, persist=false, value="") truth
#@ CharSequence (label="Image", description="Super-resolved image to judge; frames are averaged.", visibility=INVISIBLE, required=false, persist=false, value="") image
#@ CharSequence (label="Widefield", description="Widefield image of the same field, or the movie itself, which is averaged.", visibility=INVISIBLE, required=false, persist=false, value="") widefield
#@ CharSequence (label="Reference", description="True image, on the pixels of the judged one.", visibility=INVISIBLE, required=false, persist=false, value="") reference
#@ CharSequence (label="Tolerance nm", description="Largest lateral distance of detection and emitter, in nm.", visibility=INVISIBLE, required=false, persist=false, value="250.0") tolerance_nm
#@ CharSequence (label="Tolerance axial nm", description="Largest distance along z, in nm, where both tables have z.", visibility=INVISIBLE, required=false, persist=false, value="500.0") tolerance_axial_nm
#@ CharSequence (label="Matching", description="Greedy: SMLM challenge and DECODE; stable: ThunderSTORM; optimal: as many as possible.", visibility=INVISIBLE, required=false, persist=false, value="greedy") matching
#@ CharSequence (label="Border nm", description="Width of the rim that is left out, in nm.", visibility=INVISIBLE, required=false, persist=false, value="450.0") border_nm
#@ CharSequence (label="Field width nm", description="Width of the field in nm; left out, the images or the outermost emitter say it.", visibility=INVISIBLE, required=false, persist=false, value="") field_width_nm
#@ CharSequence (label="Field height nm", description="Height of the field, in nm.", visibility=INVISIBLE, required=false, persist=false, value="") field_height_nm
#@ CharSequence (label="Photon quantile", description="Share of the emitters, the dimmest, that doesn't count (challenge: 0.25).", visibility=INVISIBLE, required=false, persist=false, value="0.0") photon_quantile
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel in nm; left out, the tables say it.", visibility=INVISIBLE, required=false, persist=false, value="") pixel_size_nm
#@ CharSequence (label="Frc pixel nm", description="Edge of a pixel for the ring correlation in nm; left out, 5 or what the field allows.", visibility=INVISIBLE, required=false, persist=false, value="") frc_pixel_nm
#@ CharSequence (label="Seed", description="Seed of the chance level and of the halves for the ring correlation.", visibility=INVISIBLE, required=false, persist=false, value="0") seed
#@ CharSequence (label="Overwrite", description="Replace a page that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "output", type: "text", value: "", choices: [], help: "Page to write (.html); empty writes none.", low: null, high: null],
    [name: "table", type: "text", value: "", choices: [], help: "Table of localizations to judge.", low: null, high: null],
    [name: "truth", type: "text", value: "", choices: [], help: "Table of the true emitters, one row for each frame in which one shines.", low: null, high: null],
    [name: "image", type: "text", value: "", choices: [], help: "Super-resolved image to judge; frames are averaged.", low: null, high: null],
    [name: "widefield", type: "text", value: "", choices: [], help: "Widefield image of the same field, or the movie itself, which is averaged.", low: null, high: null],
    [name: "reference", type: "text", value: "", choices: [], help: "True image, on the pixels of the judged one.", low: null, high: null],
    [name: "tolerance_nm", type: "number", value: "250.0", choices: [], help: "Largest lateral distance of detection and emitter, in nm.", low: 0, high: 100000],
    [name: "tolerance_axial_nm", type: "number", value: "500.0", choices: [], help: "Largest distance along z, in nm, where both tables have z.", low: 0, high: 100000],
    [name: "matching", type: "choice", value: "greedy", choices: ["greedy", "optimal", "stable"], help: "Greedy: SMLM challenge and DECODE; stable: ThunderSTORM; optimal: as many as possible.", low: null, high: null],
    [name: "border_nm", type: "number", value: "450.0", choices: [], help: "Width of the rim that is left out, in nm.", low: 0, high: 1000000000],
    [name: "field_width_nm", type: "number", value: "", choices: [], help: "Width of the field in nm; left out, the images or the outermost emitter say it.", low: 0, high: 1000000000],
    [name: "field_height_nm", type: "number", value: "", choices: [], help: "Height of the field, in nm.", low: 0, high: 1000000000],
    [name: "photon_quantile", type: "number", value: "0.0", choices: [], help: "Share of the emitters, the dimmest, that doesn't count (challenge: 0.25).", low: 0, high: 1],
    [name: "pixel_size_nm", type: "number", value: "", choices: [], help: "Edge of a camera pixel in nm; left out, the tables say it.", low: 0, high: 100000],
    [name: "frc_pixel_nm", type: "number", value: "", choices: [], help: "Edge of a pixel for the ring correlation in nm; left out, 5 or what the field allows.", low: 0, high: 10000],
    [name: "seed", type: "whole", value: "0", choices: [], help: "Seed of the chance level and of the halves for the ring correlation.", low: 0, high: 2147483648],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace a page that is there.", low: null, high: null],
]
def values = [output: output, table: table, truth: truth, image: image, widefield: widefield, reference: reference, tolerance_nm: tolerance_nm, tolerance_axial_nm: tolerance_axial_nm, matching: matching, border_nm: border_nm, field_width_nm: field_width_nm, field_height_nm: field_height_nm, photon_quantile: photon_quantile, pixel_size_nm: pixel_size_nm, frc_pixel_nm: frc_pixel_nm, seed: seed, overwrite: overwrite]
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
kept.client.run("evaluate", "ZooBridge Evaluate", form, values)
