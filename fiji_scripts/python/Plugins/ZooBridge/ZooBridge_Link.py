#!Python
# Made by `zoobridge fiji launchers` from the job `link`; changes here are lost.
#@script(label="ZooBridge Link", headless=true)
#@ CharSequence (label="Output", description="Table to write (.csv or .hdf5).", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Table", description="Localizations: a table of ThunderSTORM, Picasso, DECODE and others.", visibility=INVISIBLE, required=false, persist=false, value="") table
#@ CharSequence (label="Distance nm", description="Largest distance in nm; 0 takes 4 times the combined uncertainty of two rows.", visibility=INVISIBLE, required=false, persist=false, value="0.0") distance_nm
#@ CharSequence (label="Gap frames", description="Dark frames allowed between two detections of an emitter.", visibility=INVISIBLE, required=false, persist=false, value="1") gap_frames
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel in nm; 0 takes what the table's files say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
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
    run("link", globals())
