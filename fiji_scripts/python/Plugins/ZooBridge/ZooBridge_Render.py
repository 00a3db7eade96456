#!Python
# Made by `zoobridge fiji launchers` from the job `render`; changes here are lost.
#@script(label="ZooBridge Render", headless=true)
#@ CharSequence (label="Output", description="Image to write (.tif or .zarr); the picture gets its name, with .png.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Table", description="Localizations: a table of ThunderSTORM, Picasso, DECODE and others.", visibility=INVISIBLE, required=false, persist=false, value="") table
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel in nm; 0 takes what the table's files or the image say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Magnification", description="Output pixels along the edge of a camera pixel.", visibility=INVISIBLE, required=false, persist=false, value="10.0") magnification
#@ CharSequence (label="Method", description="Counts, counts smoothed by a triangle (averaged shifted histogram), or a spot for each.", visibility=INVISIBLE, required=false, persist=false, value="histogram") method
#@ CharSequence (label="Sigma nm", description="Width of the spots (gaussian) in nm; 0 takes each localization's uncertainty.", visibility=INVISIBLE, required=false, persist=false, value="0.0") sigma_nm
#@ CharSequence (label="Shifts", description="Width of the triangle (ash) in output pixels.", visibility=INVISIBLE, required=false, persist=false, value="2") shifts
#@ CharSequence (label="Width px", description="Width of the field in camera pixels; 0 takes the image's or the table's.", visibility=INVISIBLE, required=false, persist=false, value="0") width_px
#@ CharSequence (label="Height px", description="Height of the field in camera pixels; 0 takes the image's or the table's.", visibility=INVISIBLE, required=false, persist=false, value="0") height_px
#@ CharSequence (label="Like", description="Image or movie that the table was made from, to take the field and pixel size from.", visibility=INVISIBLE, required=false, persist=false, value="") like
#@ CharSequence (label="Overwrite", description="Replace an image that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
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
    run("render", globals())
