#!Python
# Made by `zoobridge fiji launchers` from the job `simulate`; changes here are lost.
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
try:
    from bridge.fiji.run import run
except (ImportError, SyntaxError) as error:
    import sys

    if sys.platform.startswith("java"):
        from ij import IJ
    else:
        from scyjava import jimport

        IJ = jimport("ij.IJ")
    text = (
        "ZooBridge: this Python, %s at %s, cannot load zoobridge (%s). It takes Fiji in Python "
        "mode, with zoobridge in that Python. In a terminal, run zoobridge fiji install."
        % (sys.version.split()[0], sys.executable, error)
    )
    IJ.log(text)
    try:
        IJ.error("ZooBridge", text)
    except:  # without a display it cannot be shown, but it has ended the macro
        pass
else:
    run("simulate", globals())
