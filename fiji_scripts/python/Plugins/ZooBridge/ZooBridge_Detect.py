#!Python
# Made by `zoobridge fiji launchers` from the job `detect`; changes here are lost.
#@script(label="ZooBridge Detect", headless=true)
#@ CharSequence (label="Model", description="File of a trained Topaz model; Topaz runs the code in it, so only one that you trust.", visibility=INVISIBLE, required=false, persist=false, value="") model
#@ CharSequence (label="Input", description="Images: files or folders.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="Table to write: .csv ours, .txt or .tsv Topaz's; a picture gets its name, with .png.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Radius nm", description="Radius of the structures as they appear, in nm: 0.6 times their width at half height.", visibility=INVISIBLE, required=false, persist=false, value="0.0") radius_nm
#@ CharSequence (label="Radius px", description="The same in pixels, where nm are not given.", visibility=INVISIBLE, required=false, persist=false, value="0.0") radius_px
#@ CharSequence (label="Threshold", description="Least score, response over noise (method log); left out, noise gives 1 in 20 planes.", visibility=INVISIBLE, required=false, persist=false, value="") threshold
#@ CharSequence (label="Min distance px", description="Of two nearer ones the better is kept, in pixels; 0 is one radius.", visibility=INVISIBLE, required=false, persist=false, value="0.0") min_distance_px
#@ CharSequence (label="Least size", description="Structures smaller than this part of the radius are left out; 0 keeps all.", visibility=INVISIBLE, required=false, persist=false, value="0.85") least_size
#@ CharSequence (label="Slices", description="Look into each slice of a stack, or at the brightest value along z.", visibility=INVISIBLE, required=false, persist=false, value="each") slices
#@ CharSequence (label="Channel", description="Channel to look at, from 1; 0 looks at all.", visibility=INVISIBLE, required=false, persist=false, value="0") channel
#@ CharSequence (label="Method", description="Laplacian of a Gaussian, or the command topaz with a model of yours.", visibility=INVISIBLE, required=false, persist=false, value="log") method
#@ CharSequence (label="Truth", description="Table of the true places, ours or Topaz's, to count right and wrong within one radius.", visibility=INVISIBLE, required=false, persist=false, value="") truth
#@ CharSequence (label="Pixel size nm", description="Edge of a pixel in nm; 0 takes what the images say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Axes", description="Axes of the image files, such as zyx, where they don't say or say it wrong.", visibility=INVISIBLE, required=false, persist=false, value="") axes
#@ CharSequence (label="Overwrite", description="Replace a table that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
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
    run("detect", globals())
