#!Python
# Made by `zoobridge fiji launchers` from the job `evaluate`; changes here are lost.
#@script(label="ZooBridge Evaluate", headless=true)
#@ CharSequence (label="Output", description="Page to write (.html); empty writes none.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Table", description="Table of localizations to judge.", visibility=INVISIBLE, required=false, persist=false, value="") table
#@ CharSequence (label="Truth", description="Table of the true emitters, one row for each frame in which one shines.", visibility=INVISIBLE, required=false, persist=false, value="") truth
#@ CharSequence (label="Image", description="Super-resolved image to judge; frames are averaged.", visibility=INVISIBLE, required=false, persist=false, value="") image
#@ CharSequence (label="Widefield", description="Widefield image of the same field, or the movie itself, which is averaged.", visibility=INVISIBLE, required=false, persist=false, value="") widefield
#@ CharSequence (label="Reference", description="True image, on the pixels of the judged one.", visibility=INVISIBLE, required=false, persist=false, value="") reference
#@ CharSequence (label="Tolerance nm", description="Largest lateral distance of detection and emitter, in nm.", visibility=INVISIBLE, required=false, persist=false, value="250.0") tolerance_nm
#@ CharSequence (label="Tolerance axial nm", description="Largest distance along z, in nm, where both tables have z.", visibility=INVISIBLE, required=false, persist=false, value="500.0") tolerance_axial_nm
#@ CharSequence (label="Matching", description="Greedy: SMLM challenge and DECODE; stable: ThunderSTORM; optimal: as many as possible.", visibility=INVISIBLE, required=false, persist=false, value="greedy") matching
#@ CharSequence (label="Border nm", description="Width of the rim that is left out, in nm.", visibility=INVISIBLE, required=false, persist=false, value="450.0") border_nm
#@ CharSequence (label="Field width nm", description="Width of the field in nm; left out, the images or the outermost emitter say it.", visibility=INVISIBLE, required=false, persist=false, value="") field_width_nm
#@ CharSequence (label="Field height nm", description="Height of the field, in nm.", visibility=INVISIBLE, required=false, persist=false, value="") field_height_nm
#@ CharSequence (label="Photon quantile", description="Share of the emitters, the dimmest, that doesn't count (challenge: 0.25).", visibility=INVISIBLE, required=false, persist=false, value="0.0") photon_quantile
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel in nm; left out, the tables say it.", visibility=INVISIBLE, required=false, persist=false, value="") pixel_size_nm
#@ CharSequence (label="Frc pixel nm", description="Edge of a pixel for the ring correlation in nm; left out, 5 or what the field allows.", visibility=INVISIBLE, required=false, persist=false, value="") frc_pixel_nm
#@ CharSequence (label="Seed", description="Seed of the chance level and of the halves for the ring correlation.", visibility=INVISIBLE, required=false, persist=false, value="0") seed
#@ CharSequence (label="Overwrite", description="Replace a page that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
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
    run("evaluate", globals())
