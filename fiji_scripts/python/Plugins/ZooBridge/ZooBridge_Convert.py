#!Python
# Made by `zoobridge fiji launchers` from the job `convert`; changes here are lost.
#@script(label="ZooBridge Convert", headless=true)
#@ CharSequence (label="Input", description="Tables: CSV or other text, or HDF5.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="Table to write (.csv, .hdf5), or a folder for several.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Format", description="Whose table to write; auto goes by the ending, and is ThunderSTORM's in a folder.", visibility=INVISIBLE, required=false, persist=false, value="auto") format
#@ CharSequence (label="Read as", description="Whose table the input is; auto tells by its content.", visibility=INVISIBLE, required=false, persist=false, value="auto") read_as
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel in nm; 0 takes what the files, or the movie, say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Photons per adu", description="Photons per camera count above the base level; 0 takes what the files say.", visibility=INVISIBLE, required=false, persist=false, value="0.0") photons_per_adu
#@ CharSequence (label="Frame base", description="Number of the first frame in the input; auto goes by its format.", visibility=INVISIBLE, required=false, persist=false, value="auto") frame_base
#@ CharSequence (label="Origin x nm", description="Left edge of the analysed region in the image, in nm; added to x.", visibility=INVISIBLE, required=false, persist=false, value="0.0") origin_x_nm
#@ CharSequence (label="Origin y nm", description="Upper edge of the analysed region in the image, in nm; added to y.", visibility=INVISIBLE, required=false, persist=false, value="0.0") origin_y_nm
#@ CharSequence (label="Pixel origin", description="Where coordinate 0 is in the first pixel; auto goes by the format.", visibility=INVISIBLE, required=false, persist=false, value="auto") pixel_origin
#@ CharSequence (label="Swap xy", description="Exchange x and y.", visibility=INVISIBLE, required=false, persist=false, value="false") swap_xy
#@ CharSequence (label="Stack", description="Movie that the table was made from, to check that they fit; empty checks nothing.", visibility=INVISIBLE, required=false, persist=false, value="") stack
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
    run("convert", globals())
