// Made by `zoobridge fiji launchers` from the job `pairs`; changes here are lost.
#@script(label="ZooBridge Pairs", headless=true)
#@ CharSequence (label="Input", description="Folder of blurred images (or one image); a sub-folder's name says what is in them.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="Folder to write.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Target", description="Folder of sharp images of the same places, of equal names or with one word changed.", visibility=INVISIBLE, required=false, persist=false, value="") target
#@ CharSequence (label="Kind", description="What is made: pairs, or triples for X-Microscopy.", visibility=INVISIBLE, required=false, persist=false, value="pairs") kind
#@ CharSequence (label="Simulate", description="Simulate instead of reading files; widefield-storm is for kind xmicroscopy.", visibility=INVISIBLE, required=false, persist=false, value="none") simulate
#@ CharSequence (label="Fields", description="How many fields to simulate.", visibility=INVISIBLE, required=false, persist=false, value="40") fields
#@ CharSequence (label="Structure", description="What is in the images, where no sub-folder says it; for simulations what to draw.", visibility=INVISIBLE, required=false, persist=false, value="") structure
#@ CharSequence (label="Input pixel nm", description="Edge of an input pixel in nm; left out, the files say it.", visibility=INVISIBLE, required=false, persist=false, value="") input_pixel_nm
#@ CharSequence (label="Target pixel nm", description="Edge of a target pixel in nm; left out, the files say it.", visibility=INVISIBLE, required=false, persist=false, value="") target_pixel_nm
#@ CharSequence (label="Input fwhm nm", description="Width of the input's PSF at half its height in nm, if known; written down.", visibility=INVISIBLE, required=false, persist=false, value="") input_fwhm_nm
#@ CharSequence (label="Target fwhm nm", description="Width of the target's PSF in nm, if known; written down.", visibility=INVISIBLE, required=false, persist=false, value="") target_fwhm_nm
#@ CharSequence (label="Resample", description="Resample targets whose pixels don't fit the input's a whole number of times.", visibility=INVISIBLE, required=false, persist=false, value="false") resample
#@ CharSequence (label="Block px", description="Edge of blocks to cut fields into, in input pixels; 0 cuts only where there are too few.", visibility=INVISIBLE, required=false, persist=false, value="0") block_px
#@ CharSequence (label="Max shift px", description="Longest way of a target to its input, in input pixels.", visibility=INVISIBLE, required=false, persist=false, value="24.0") max_shift_px
#@ CharSequence (label="Min agreement", description="Least correlation of details between an input and its blurred target.", visibility=INVISIBLE, required=false, persist=false, value="0.25") min_agreement
#@ CharSequence (label="Table", description="Table of localizations, or a folder of them (xmicroscopy).", visibility=INVISIBLE, required=false, persist=false, value="") table
#@ CharSequence (label="Widefield", description="Widefield image of the same field, or a folder of them (xmicroscopy).", visibility=INVISIBLE, required=false, persist=false, value="") widefield
#@ CharSequence (label="Sparse", description="Undersampled renderings of the targets' fields (xmicroscopy); left out, they are drawn.", visibility=INVISIBLE, required=false, persist=false, value="") sparse
#@ CharSequence (label="Dense", description="Dense renderings of the targets' fields (xmicroscopy); left out, the targets are taken.", visibility=INVISIBLE, required=false, persist=false, value="") dense
#@ CharSequence (label="Localizations", description="Localizations in an undersampled image (xmicroscopy).", visibility=INVISIBLE, required=false, persist=false, value="10000") localizations
#@ CharSequence (label="Subsamplings", description="Undersampled images of each field (xmicroscopy).", visibility=INVISIBLE, required=false, persist=false, value="3") subsamplings
#@ CharSequence (label="Srm pixel nm", description="Edge of a super-resolution pixel in nm (xmicroscopy); rendered images keep theirs.", visibility=INVISIBLE, required=false, persist=false, value="20.0") srm_pixel_nm
#@ CharSequence (label="Table pixel nm", description="Edge of a camera pixel in nm, for tables that count in pixels (xmicroscopy).", visibility=INVISIBLE, required=false, persist=false, value="") table_pixel_nm
#@ CharSequence (label="Seed", description="Seed of the split, of simulations and of subsamplings.", visibility=INVISIBLE, required=false, persist=false, value="0") seed
#@ CharSequence (label="Overwrite", description="Replace a folder of pairs that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "input", type: "text", value: "", choices: [], help: "Folder of blurred images (or one image); a sub-folder's name says what is in them.", low: null, high: null],
    [name: "output", type: "path", value: "", choices: [], help: "Folder to write.", low: null, high: null],
    [name: "target", type: "text", value: "", choices: [], help: "Folder of sharp images of the same places, of equal names or with one word changed.", low: null, high: null],
    [name: "kind", type: "choice", value: "pairs", choices: ["pairs", "xmicroscopy"], help: "What is made: pairs, or triples for X-Microscopy.", low: null, high: null],
    [name: "simulate", type: "choice", value: "none", choices: ["none", "confocal-sted", "widefield-confocal", "widefield-storm"], help: "Simulate instead of reading files; widefield-storm is for kind xmicroscopy.", low: null, high: null],
    [name: "fields", type: "whole", value: "40", choices: [], help: "How many fields to simulate.", low: 1, high: 100000],
    [name: "structure", type: "text", value: "", choices: [], help: "What is in the images, where no sub-folder says it; for simulations what to draw.", low: null, high: null],
    [name: "input_pixel_nm", type: "number", value: "", choices: [], help: "Edge of an input pixel in nm; left out, the files say it.", low: 0, high: 100000],
    [name: "target_pixel_nm", type: "number", value: "", choices: [], help: "Edge of a target pixel in nm; left out, the files say it.", low: 0, high: 100000],
    [name: "input_fwhm_nm", type: "number", value: "", choices: [], help: "Width of the input's PSF at half its height in nm, if known; written down.", low: 0, high: 10000],
    [name: "target_fwhm_nm", type: "number", value: "", choices: [], help: "Width of the target's PSF in nm, if known; written down.", low: 0, high: 10000],
    [name: "resample", type: "flag", value: "false", choices: [], help: "Resample targets whose pixels don't fit the input's a whole number of times.", low: null, high: null],
    [name: "block_px", type: "whole", value: "0", choices: [], help: "Edge of blocks to cut fields into, in input pixels; 0 cuts only where there are too few.", low: 0, high: 8192],
    [name: "max_shift_px", type: "number", value: "24.0", choices: [], help: "Longest way of a target to its input, in input pixels.", low: 0, high: 1000],
    [name: "min_agreement", type: "number", value: "0.25", choices: [], help: "Least correlation of details between an input and its blurred target.", low: 0, high: 1],
    [name: "table", type: "text", value: "", choices: [], help: "Table of localizations, or a folder of them (xmicroscopy).", low: null, high: null],
    [name: "widefield", type: "text", value: "", choices: [], help: "Widefield image of the same field, or a folder of them (xmicroscopy).", low: null, high: null],
    [name: "sparse", type: "text", value: "", choices: [], help: "Undersampled renderings of the targets' fields (xmicroscopy); left out, they are drawn.", low: null, high: null],
    [name: "dense", type: "text", value: "", choices: [], help: "Dense renderings of the targets' fields (xmicroscopy); left out, the targets are taken.", low: null, high: null],
    [name: "localizations", type: "whole", value: "10000", choices: [], help: "Localizations in an undersampled image (xmicroscopy).", low: 1, high: 100000000],
    [name: "subsamplings", type: "whole", value: "3", choices: [], help: "Undersampled images of each field (xmicroscopy).", low: 1, high: 100],
    [name: "srm_pixel_nm", type: "number", value: "20.0", choices: [], help: "Edge of a super-resolution pixel in nm (xmicroscopy); rendered images keep theirs.", low: 0, high: 1000],
    [name: "table_pixel_nm", type: "number", value: "", choices: [], help: "Edge of a camera pixel in nm, for tables that count in pixels (xmicroscopy).", low: 0, high: 100000],
    [name: "seed", type: "whole", value: "0", choices: [], help: "Seed of the split, of simulations and of subsamplings.", low: 0, high: 2147483648],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace a folder of pairs that is there.", low: null, high: null],
]
def values = [input: input, output: output, target: target, kind: kind, simulate: simulate, fields: fields, structure: structure, input_pixel_nm: input_pixel_nm, target_pixel_nm: target_pixel_nm, input_fwhm_nm: input_fwhm_nm, target_fwhm_nm: target_fwhm_nm, resample: resample, block_px: block_px, max_shift_px: max_shift_px, min_agreement: min_agreement, table: table, widefield: widefield, sparse: sparse, dense: dense, localizations: localizations, subsamplings: subsamplings, srm_pixel_nm: srm_pixel_nm, table_pixel_nm: table_pixel_nm, seed: seed, overwrite: overwrite]
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
kept.client.run("pairs", "ZooBridge Pairs", form, values)
