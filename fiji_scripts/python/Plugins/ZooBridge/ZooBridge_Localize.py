#!Python
# Made by `zoobridge fiji launchers` from the job `localize`; changes here are lost.
#@script(label="ZooBridge Localize", headless=true)
#@ CharSequence (label="Model", description="Folder, zip, rdf.yaml or installed name of a package, such as deep-storm.", visibility=INVISIBLE, required=false, persist=false, value="deep-storm") model
#@ CharSequence (label="Input", description="Movie of raw camera frames (TIFF, OME-Zarr, .npy).", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="Table to write (.csv or .hdf5).", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Threshold", description="Least probability (auto: 0.5); for heatmaps auto, a share (20%) or a height (2.5).", visibility=INVISIBLE, required=false, persist=false, value="auto") threshold
#@ CharSequence (label="Radius px", description="Heatmaps: pixels around a peak that belong to it; 0 takes about 60 nm, 1 to 5.", visibility=INVISIBLE, required=false, persist=false, value="0") radius_px
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel in nm; 0 takes what the movie says.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Camera offset adu", description="Counts of a dark pixel of the movie's camera; -1 takes the one that a localizer expects.", visibility=INVISIBLE, required=false, persist=false, value="-1.0") camera_offset_adu
#@ CharSequence (label="Photons per adu", description="Photons that one count of the movie's camera stands for; 0 takes what a localizer expects.", visibility=INVISIBLE, required=false, persist=false, value="0.0") photons_per_adu
#@ CharSequence (label="Offset x px", description="Column of the whole field at which the movie starts, added to x, in camera pixels.", visibility=INVISIBLE, required=false, persist=false, value="0") offset_x_px
#@ CharSequence (label="Offset y px", description="Row of the whole field at which the movie starts, added to y, in camera pixels.", visibility=INVISIBLE, required=false, persist=false, value="0") offset_y_px
#@ CharSequence (label="Anyway", description="Go on where the movie contradicts what a localizer was trained on.", visibility=INVISIBLE, required=false, persist=false, value="false") anyway
#@ CharSequence (label="Tile", description="Longest tile edge in camera pixels; 0 chooses one that fits the memory.", visibility=INVISIBLE, required=false, persist=false, value="0") tile
#@ CharSequence (label="Batch", description="Tiles run at once; 0 chooses.", visibility=INVISIBLE, required=false, persist=false, value="0") batch
#@ CharSequence (label="Device", description="Where to compute: auto, cpu, cuda, cuda:1 or mps.", visibility=INVISIBLE, required=false, persist=false, value="auto") device
#@ CharSequence (label="Engine", description="Who computes; auto takes the fastest that the package and this machine have.", visibility=INVISIBLE, required=false, persist=false, value="auto") engine
#@ CharSequence (label="Precision", description="Arithmetic; the shorter ones are faster and less exact.", visibility=INVISIBLE, required=false, persist=false, value="float32") precision
#@ CharSequence (label="Axes", description="Axes of the movie, such as tyx, where the file doesn't say or says it wrong.", visibility=INVISIBLE, required=false, persist=false, value="") axes
#@ CharSequence (label="Channel", description="Channel to use, from 1; 0 uses all.", visibility=INVISIBLE, required=false, persist=false, value="0") channel
#@ CharSequence (label="Trust", description="Let the package run code of its own (remembered for this content).", visibility=INVISIBLE, required=false, persist=false, value="false") trust
#@ CharSequence (label="Overwrite", description="Replace a table that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
#@ CharSequence (label="Resume", description="Continue an interrupted run.", visibility=INVISIBLE, required=false, persist=false, value="false") resume
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
    run("localize", globals())
