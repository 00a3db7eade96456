#!Python
# Made by `zoobridge fiji launchers` from the job `degrade`; changes here are lost.
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
    run("degrade", globals())
