#!Python
# Made by `zoobridge fiji launchers` from the job `compare-localizers`; changes here are lost.
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
    run("compare-localizers", globals())
