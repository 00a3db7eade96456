#!Python
# Made by `zoobridge fiji launchers` from the job `drift`; changes here are lost.
#@script(label="ZooBridge Drift", headless=true)
#@ CharSequence (label="Output", description="Table to write (.csv or .hdf5).", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Table", description="Localizations: a table of ThunderSTORM, Picasso, DECODE and others.", visibility=INVISIBLE, required=false, persist=false, value="") table
#@ CharSequence (label="Segment frames", description="Frames in a segment; 0 chooses, so that there are 10 to 30 segments, or fewer if needed.", visibility=INVISIBLE, required=false, persist=false, value="0") segment_frames
#@ CharSequence (label="Max drift nm", description="Largest drift between any two segments along an axis, in nm.", visibility=INVISIBLE, required=false, persist=false, value="1000.0") max_drift_nm
#@ CharSequence (label="Render pixel nm", description="Edge of a pixel of the correlated images in nm; 0 takes 20, more for large fields.", visibility=INVISIBLE, required=false, persist=false, value="0.0") render_pixel_nm
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel in nm; 0 takes what the table's files say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
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
    run("drift", globals())
