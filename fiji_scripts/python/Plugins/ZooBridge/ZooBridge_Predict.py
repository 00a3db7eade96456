#!Python
# Made by `zoobridge fiji launchers` from the job `predict`; changes here are lost.
#@script(label="ZooBridge Predict", headless=true)
#@ CharSequence (label="Model", description="Folder, zip, rdf.yaml or installed name of a BioImage Model Zoo package.", visibility=INVISIBLE, required=false, persist=false, value="deep-storm") model
#@ CharSequence (label="Input", description="Images: files or folders (TIFF, OME-Zarr, PNG, .npy); NAME=FILE for several inputs.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="File (.tif or .zarr) or folder for the result.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Sum", description="Add up the outputs of all frames of a movie, and write one image.", visibility=INVISIBLE, required=false, persist=false, value="false") sum
#@ CharSequence (label="Tile", description="Longest tile edge in input pixels; 0 chooses one that fits the memory.", visibility=INVISIBLE, required=false, persist=false, value="0") tile
#@ CharSequence (label="Halo", description="Input pixels read around each tile; -1 takes what the network needs.", visibility=INVISIBLE, required=false, persist=false, value="-1") halo
#@ CharSequence (label="Batch", description="Tiles run at once; 0 chooses.", visibility=INVISIBLE, required=false, persist=false, value="0") batch
#@ CharSequence (label="Device", description="Where to compute: auto, cpu, cuda, cuda:1 or mps.", visibility=INVISIBLE, required=false, persist=false, value="auto") device
#@ CharSequence (label="Engine", description="Who computes; auto takes the fastest that the package and this machine have.", visibility=INVISIBLE, required=false, persist=false, value="auto") engine
#@ CharSequence (label="Precision", description="Arithmetic; the shorter ones are faster and less exact.", visibility=INVISIBLE, required=false, persist=false, value="float32") precision
#@ CharSequence (label="Axes", description="Axes of the image files, such as tyx, where they don't say or say it wrong.", visibility=INVISIBLE, required=false, persist=false, value="") axes
#@ CharSequence (label="Channel", description="Channel to use, from 1; 0 uses all.", visibility=INVISIBLE, required=false, persist=false, value="0") channel
#@ CharSequence (label="Each colour", description="Run each channel by its own pass, and merge the results into one composite.", visibility=INVISIBLE, required=false, persist=false, value="false") each_colour
#@ CharSequence (label="Trust", description="Let the package run code of its own (remembered for this content).", visibility=INVISIBLE, required=false, persist=false, value="false") trust
#@ CharSequence (label="Overwrite", description="Replace a result that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
#@ CharSequence (label="Resume", description="Continue an interrupted run; a sum always starts afresh.", visibility=INVISIBLE, required=false, persist=false, value="false") resume
#@ CharSequence (label="Consistency", description="Check that the result, blurred again, gives the input back: figures and a picture beside.", visibility=INVISIBLE, required=false, persist=false, value="true") consistency
#@ CharSequence (label="Report", description="File for the report; empty puts it beside the result.", visibility=INVISIBLE, required=false, persist=false, value="") report
#@ CharSequence (label="Cluster", description="Address of a dask scheduler that gets the images; empty computes here.", visibility=INVISIBLE, required=false, persist=false, value="") cluster
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
    run("predict", globals())
