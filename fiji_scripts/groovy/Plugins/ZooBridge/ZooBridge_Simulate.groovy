// Made by `zoobridge fiji launchers` from the job `simulate`; changes here are lost.
#@script(label="ZooBridge Simulate", headless=true)
#@ CharSequence (label="Output", description="Movie to write (.tif or .zarr); the other files get its name.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Preset", description="Settings to start from.", visibility=INVISIBLE, required=false, persist=false, value="filaments") preset
#@ CharSequence (label="Settings", description="Settings of an earlier movie (.settings.json) to start from instead.", visibility=INVISIBLE, required=false, persist=false, value="") settings
#@ CharSequence (label="Like", description="Table of localizations to take density, photons, width and background from.", visibility=INVISIBLE, required=false, persist=false, value="") like
#@ CharSequence (label="Frames", description="Length of the movie.", visibility=INVISIBLE, required=false, persist=false, value="") frames
#@ CharSequence (label="Width px", description="Width of a frame, in camera pixels.", visibility=INVISIBLE, required=false, persist=false, value="") width_px
#@ CharSequence (label="Height px", description="Height of a frame, in camera pixels.", visibility=INVISIBLE, required=false, persist=false, value="") height_px
#@ CharSequence (label="Density per um2", description="Emitters per square micrometre and frame.", visibility=INVISIBLE, required=false, persist=false, value="") density_per_um2
#@ CharSequence (label="Photons min", description="Least photons of an emitter in a frame; uniform between least and most.", visibility=INVISIBLE, required=false, persist=false, value="") photons_min
#@ CharSequence (label="Photons max", description="Most photons of an emitter in a frame.", visibility=INVISIBLE, required=false, persist=false, value="") photons_max
#@ CharSequence (label="Background photons", description="Background photons per pixel and frame.", visibility=INVISIBLE, required=false, persist=false, value="") background_photons
#@ CharSequence (label="Background variation", description="Part of the background by which it varies over the field.", visibility=INVISIBLE, required=false, persist=false, value="") background_variation
#@ CharSequence (label="Background image", description="Image that shapes the background.", visibility=INVISIBLE, required=false, persist=false, value="") background_image
#@ CharSequence (label="Psf", description="Kind of the point spread function.", visibility=INVISIBLE, required=false, persist=false, value="preset") psf
#@ CharSequence (label="Fwhm min nm", description="Least full width at half maximum of a spot (integrated-gaussian), in nm.", visibility=INVISIBLE, required=false, persist=false, value="") fwhm_min_nm
#@ CharSequence (label="Fwhm max nm", description="Greatest full width at half maximum of a spot, in nm.", visibility=INVISIBLE, required=false, persist=false, value="") fwhm_max_nm
#@ CharSequence (label="Z min nm", description="Lowest emitter, in nm, where the spot depends on it.", visibility=INVISIBLE, required=false, persist=false, value="") z_min_nm
#@ CharSequence (label="Z max nm", description="Highest emitter, in nm.", visibility=INVISIBLE, required=false, persist=false, value="") z_max_nm
#@ CharSequence (label="Structure", description="What the emitters sit on.", visibility=INVISIBLE, required=false, persist=false, value="preset") structure
#@ CharSequence (label="Mask", description="Image whose brightness is the density of emitters (structure mask).", visibility=INVISIBLE, required=false, persist=false, value="") mask
#@ CharSequence (label="On time", description="Mean time that an emitter shines, in frames; 0 makes every frame independent.", visibility=INVISIBLE, required=false, persist=false, value="") on_time
#@ CharSequence (label="Bleach time", description="Time in which emitters fall to 37 %, in frames; 0: never.", visibility=INVISIBLE, required=false, persist=false, value="") bleach_time
#@ CharSequence (label="Camera", description="Kind of the camera; another than the preset's starts from usual values.", visibility=INVISIBLE, required=false, persist=false, value="preset") camera
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel in the sample, in nm.", visibility=INVISIBLE, required=false, persist=false, value="") pixel_size_nm
#@ CharSequence (label="Quantum efficiency", description="Share of photons that become electrons.", visibility=INVISIBLE, required=false, persist=false, value="") quantum_efficiency
#@ CharSequence (label="Offset adu", description="Counts of a dark pixel.", visibility=INVISIBLE, required=false, persist=false, value="") offset_adu
#@ CharSequence (label="Electrons per adu", description="Electrons for one count.", visibility=INVISIBLE, required=false, persist=false, value="") electrons_per_adu
#@ CharSequence (label="Read noise e", description="Standard deviation of the read noise, in electrons.", visibility=INVISIBLE, required=false, persist=false, value="") read_noise_e
#@ CharSequence (label="Em gain", description="Electron multiplication (emccd).", visibility=INVISIBLE, required=false, persist=false, value="") em_gain
#@ CharSequence (label="Drift nm", description="Drift from the first to the last frame, in nm.", visibility=INVISIBLE, required=false, persist=false, value="") drift_nm
#@ CharSequence (label="Drift angle deg", description="Direction of the drift: 0 to the right, 90 down.", visibility=INVISIBLE, required=false, persist=false, value="") drift_angle_deg
#@ CharSequence (label="Seed", description="The same seed gives the same movie on the same kind of device.", visibility=INVISIBLE, required=false, persist=false, value="") seed
#@ CharSequence (label="Device", description="Where to compute: auto (a CUDA GPU, else the processor), cpu, cuda or cuda:1.", visibility=INVISIBLE, required=false, persist=false, value="auto") device
#@ CharSequence (label="Overwrite", description="Replace files that are there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
def form = [
    [name: "output", type: "path", value: "", choices: [], help: "Movie to write (.tif or .zarr); the other files get its name.", low: null, high: null],
    [name: "preset", type: "choice", value: "filaments", choices: ["filaments", "thunderstorm", "dsir", "deep-storm", "challenge", "smlm-benchmark"], help: "Settings to start from.", low: null, high: null],
    [name: "settings", type: "text", value: "", choices: [], help: "Settings of an earlier movie (.settings.json) to start from instead.", low: null, high: null],
    [name: "like", type: "text", value: "", choices: [], help: "Table of localizations to take density, photons, width and background from.", low: null, high: null],
    [name: "frames", type: "whole", value: "", choices: [], help: "Length of the movie.", low: 1, high: 10000000],
    [name: "width_px", type: "whole", value: "", choices: [], help: "Width of a frame, in camera pixels.", low: 4, high: 16384],
    [name: "height_px", type: "whole", value: "", choices: [], help: "Height of a frame, in camera pixels.", low: 4, high: 16384],
    [name: "density_per_um2", type: "number", value: "", choices: [], help: "Emitters per square micrometre and frame.", low: 0, high: 1000],
    [name: "photons_min", type: "number", value: "", choices: [], help: "Least photons of an emitter in a frame; uniform between least and most.", low: 0, high: 1000000000],
    [name: "photons_max", type: "number", value: "", choices: [], help: "Most photons of an emitter in a frame.", low: 0, high: 1000000000],
    [name: "background_photons", type: "number", value: "", choices: [], help: "Background photons per pixel and frame.", low: 0, high: 1000000],
    [name: "background_variation", type: "number", value: "", choices: [], help: "Part of the background by which it varies over the field.", low: 0, high: 1],
    [name: "background_image", type: "text", value: "", choices: [], help: "Image that shapes the background.", low: null, high: null],
    [name: "psf", type: "choice", value: "preset", choices: ["preset", "integrated-gaussian", "astigmatic", "vectorial", "gibson-lanni"], help: "Kind of the point spread function.", low: null, high: null],
    [name: "fwhm_min_nm", type: "number", value: "", choices: [], help: "Least full width at half maximum of a spot (integrated-gaussian), in nm.", low: 0, high: 10000],
    [name: "fwhm_max_nm", type: "number", value: "", choices: [], help: "Greatest full width at half maximum of a spot, in nm.", low: 0, high: 10000],
    [name: "z_min_nm", type: "number", value: "", choices: [], help: "Lowest emitter, in nm, where the spot depends on it.", low: -20000, high: 20000],
    [name: "z_max_nm", type: "number", value: "", choices: [], help: "Highest emitter, in nm.", low: -20000, high: 20000],
    [name: "structure", type: "choice", value: "preset", choices: ["preset", "uniform", "empty", "mask", "filaments", "network", "clusters", "pores"], help: "What the emitters sit on.", low: null, high: null],
    [name: "mask", type: "text", value: "", choices: [], help: "Image whose brightness is the density of emitters (structure mask).", low: null, high: null],
    [name: "on_time", type: "number", value: "", choices: [], help: "Mean time that an emitter shines, in frames; 0 makes every frame independent.", low: 0, high: 1000000],
    [name: "bleach_time", type: "number", value: "", choices: [], help: "Time in which emitters fall to 37 %, in frames; 0: never.", low: 0, high: 1000000000],
    [name: "camera", type: "choice", value: "preset", choices: ["preset", "ccd", "emccd", "scmos"], help: "Kind of the camera; another than the preset's starts from usual values.", low: null, high: null],
    [name: "pixel_size_nm", type: "number", value: "", choices: [], help: "Edge of a camera pixel in the sample, in nm.", low: 0, high: 10000],
    [name: "quantum_efficiency", type: "number", value: "", choices: [], help: "Share of photons that become electrons.", low: 0, high: 1],
    [name: "offset_adu", type: "number", value: "", choices: [], help: "Counts of a dark pixel.", low: 0, high: 65535],
    [name: "electrons_per_adu", type: "number", value: "", choices: [], help: "Electrons for one count.", low: 0, high: 10000],
    [name: "read_noise_e", type: "number", value: "", choices: [], help: "Standard deviation of the read noise, in electrons.", low: 0, high: 10000],
    [name: "em_gain", type: "number", value: "", choices: [], help: "Electron multiplication (emccd).", low: 1, high: 10000],
    [name: "drift_nm", type: "number", value: "", choices: [], help: "Drift from the first to the last frame, in nm.", low: 0, high: 1000000],
    [name: "drift_angle_deg", type: "number", value: "", choices: [], help: "Direction of the drift: 0 to the right, 90 down.", low: -360, high: 360],
    [name: "seed", type: "whole", value: "", choices: [], help: "The same seed gives the same movie on the same kind of device.", low: 0, high: 9223372036854775808],
    [name: "device", type: "text", value: "auto", choices: [], help: "Where to compute: auto (a CUDA GPU, else the processor), cpu, cuda or cuda:1.", low: null, high: null],
    [name: "overwrite", type: "flag", value: "false", choices: [], help: "Replace files that are there.", low: null, high: null],
]
def values = [output: output, preset: preset, settings: settings, like: like, frames: frames, width_px: width_px, height_px: height_px, density_per_um2: density_per_um2, photons_min: photons_min, photons_max: photons_max, background_photons: background_photons, background_variation: background_variation, background_image: background_image, psf: psf, fwhm_min_nm: fwhm_min_nm, fwhm_max_nm: fwhm_max_nm, z_min_nm: z_min_nm, z_max_nm: z_max_nm, structure: structure, mask: mask, on_time: on_time, bleach_time: bleach_time, camera: camera, pixel_size_nm: pixel_size_nm, quantum_efficiency: quantum_efficiency, offset_adu: offset_adu, electrons_per_adu: electrons_per_adu, read_noise_e: read_noise_e, em_gain: em_gain, drift_nm: drift_nm, drift_angle_deg: drift_angle_deg, seed: seed, device: device, overwrite: overwrite]
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
kept.client.run("simulate", "ZooBridge Simulate", form, values)
