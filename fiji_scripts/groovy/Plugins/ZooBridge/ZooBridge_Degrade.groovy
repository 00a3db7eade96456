// Made by `zoobridge fiji launchers` from the job `degrade`; changes here are lost.
#@script(label="ZooBridge Degrade", headless=true)
#@ CharSequence (label="Input", description="Images to degrade: files or folders.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="File (.tif or .zarr), or a folder in which each keeps its name; a picture lies beside it.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Numerical aperture", description="Of the objective, for PSFs of theory; 0 where widths are given or measured.", visibility=INVISIBLE, required=false, persist=false, value="0.0") numerical_aperture
#@ CharSequence (label="Emission nm", description="Wavelength of the emitted light in nm, for PSFs of theory.", visibility=INVISIBLE, required=false, persist=false, value="0.0") emission_nm
#@ CharSequence (label="Widefield fwhm nm", description="Full width at half maximum of the widefield PSF in nm, if it is known.", visibility=INVISIBLE, required=false, persist=false, value="0.0") widefield_fwhm_nm
#@ CharSequence (label="Confocal fwhm nm", description="Full width at half maximum of the confocal PSF in nm, if it is known.", visibility=INVISIBLE, required=false, persist=false, value="0.0") confocal_fwhm_nm
#@ CharSequence (label="Widefield beads", description="Widefield image of beads, to measure the PSF on.", visibility=INVISIBLE, required=false, persist=false, value="") widefield_beads
#@ CharSequence (label="Confocal beads", description="Confocal image of the same kind of beads.", visibility=INVISIBLE, required=false, persist=false, value="") confocal_beads
#@ CharSequence (label="Beads pixel nm", description="Edge of a pixel of both images of beads in nm; 0 takes what they say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") beads_pixel_nm
#@ CharSequence (label="Pixel size nm", description="Edge of a pixel of the images in nm; 0 takes what they say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Factor", description="Pixels along the edge of a degraded one; joined after the blur.", visibility=INVISIBLE, required=false, persist=false, value="1") factor
#@ CharSequence (label="Binning", description="How pixels are joined: mean keeps grey values, sum keeps the light.", visibility=INVISIBLE, required=false, persist=false, value="mean") binning
#@ CharSequence (label="Dark", description="Grey value of the images where there is no light; it is subtracted first.", visibility=INVISIBLE, required=false, persist=false, value="0.0") dark
#@ CharSequence (label="Photons", description="Photons in the brightest pixel of each image's result; 0 adds no noise.", visibility=INVISIBLE, required=false, persist=false, value="0.0") photons
#@ CharSequence (label="Background", description="Even light added before the noise, as a share of the brightest pixel.", visibility=INVISIBLE, required=false, persist=false, value="0.0") background
#@ CharSequence (label="Read noise", description="Standard deviation of the camera's noise, in photons.", visibility=INVISIBLE, required=false, persist=false, value="0.0") read_noise
#@ CharSequence (label="Offset", description="What the camera adds to every pixel, in photons.", visibility=INVISIBLE, required=false, persist=false, value="0.0") offset
#@ CharSequence (label="Spots per px", description="Soft background spots per pixel, half as high as the peak; 0.01 was published.", visibility=INVISIBLE, required=false, persist=false, value="0.0") spots_per_px
#@ CharSequence (label="Sigma jitter", description="Standard deviation of the kernel's width from image to image, as a share of it.", visibility=INVISIBLE, required=false, persist=false, value="0.0") sigma_jitter
#@ CharSequence (label="Seed", description="Seed of noise, spots and jitter.", visibility=INVISIBLE, required=false, persist=false, value="0") seed
#@ CharSequence (label="Axes", description="Axes of the image files, such as tyx, where they don't say or say it wrong.", visibility=INVISIBLE, required=false, persist=false, value="") axes
#@ CharSequence (label="Overwrite", description="Replace results that are there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "input", type: "list", value: "", choices: [], help: "Images to degrade: files or folders.", low: null, high: null],
    [name: "output", type: "path", value: "", choices: [], help: "File (.tif or .zarr), or a folder in which each keeps its name; a picture lies beside it.", low: null, high: null],
    [name: "numerical_aperture", type: "number", value: "0.0", choices: [], help: "Of the objective, for PSFs of theory; 0 where widths are given or measured.", low: 0, high: 2],
    [name: "emission_nm", type: "number", value: "0.0", choices: [], help: "Wavelength of the emitted light in nm, for PSFs of theory.", low: 0, high: 10000],
    [name: "widefield_fwhm_nm", type: "number", value: "0.0", choices: [], help: "Full width at half maximum of the widefield PSF in nm, if it is known.", low: 0, high: 100000],
    [name: "confocal_fwhm_nm", type: "number", value: "0.0", choices: [], help: "Full width at half maximum of the confocal PSF in nm, if it is known.", low: 0, high: 100000],
    [name: "widefield_beads", type: "text", value: "", choices: [], help: "Widefield image of beads, to measure the PSF on.", low: null, high: null],
    [name: "confocal_beads", type: "text", value: "", choices: [], help: "Confocal image of the same kind of beads.", low: null, high: null],
    [name: "beads_pixel_nm", type: "number", value: "0.0", choices: [], help: "Edge of a pixel of both images of beads in nm; 0 takes what they say.", low: 0, high: 100000],
    [name: "pixel_size_nm", type: "number", value: "0.0", choices: [], help: "Edge of a pixel of the images in nm; 0 takes what they say.", low: 0, high: 100000],
    [name: "factor", type: "whole", value: "1", choices: [], help: "Pixels along the edge of a degraded one; joined after the blur.", low: 1, high: 64],
    [name: "binning", type: "choice", value: "mean", choices: ["mean", "sum"], help: "How pixels are joined: mean keeps grey values, sum keeps the light.", low: null, high: null],
    [name: "dark", type: "number", value: "0.0", choices: [], help: "Grey value of the images where there is no light; it is subtracted first.", low: null, high: null],
    [name: "photons", type: "number", value: "0.0", choices: [], help: "Photons in the brightest pixel of each image's result; 0 adds no noise.", low: 0, high: 1000000000],
    [name: "background", type: "number", value: "0.0", choices: [], help: "Even light added before the noise, as a share of the brightest pixel.", low: 0, high: 1000],
    [name: "read_noise", type: "number", value: "0.0", choices: [], help: "Standard deviation of the camera's noise, in photons.", low: 0, high: 1000000],
    [name: "offset", type: "number", value: "0.0", choices: [], help: "What the camera adds to every pixel, in photons.", low: null, high: null],
    [name: "spots_per_px", type: "number", value: "0.0", choices: [], help: "Soft background spots per pixel, half as high as the peak; 0.01 was published.", low: 0, high: 1],
    [name: "sigma_jitter", type: "number", value: "0.0", choices: [], help: "Standard deviation of the kernel's width from image to image, as a share of it.", low: 0, high: 0.5],
    [name: "seed", type: "whole", value: "0", choices: [], help: "Seed of noise, spots and jitter.", low: 0, high: 2147483648],
    [name: "axes", type: "text", value: "", choices: [], help: "Axes of the image files, such as tyx, where they don't say or say it wrong.", low: null, high: null],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace results that are there.", low: null, high: null],
]
def values = [input: input, output: output, numerical_aperture: numerical_aperture, emission_nm: emission_nm, widefield_fwhm_nm: widefield_fwhm_nm, confocal_fwhm_nm: confocal_fwhm_nm, widefield_beads: widefield_beads, confocal_beads: confocal_beads, beads_pixel_nm: beads_pixel_nm, pixel_size_nm: pixel_size_nm, factor: factor, binning: binning, dark: dark, photons: photons, background: background, read_noise: read_noise, offset: offset, spots_per_px: spots_per_px, sigma_jitter: sigma_jitter, seed: seed, axes: axes, overwrite: overwrite]
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
kept.client.run("degrade", "ZooBridge Degrade", form, values)
