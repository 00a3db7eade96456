#!Python
# Made by `zoobridge fiji launchers` from the job `pairs`; changes here are lost.
#@script(label="ZooBridge Pairs", headless=true)
#@ CharSequence (label="Input", description="Folder of blurred images (or one image); a sub-folder's name says what is in them.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="Folder to write.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Target", description="Folder of sharp images of the same places, of equal names or with one word changed.", visibility=INVISIBLE, required=false, persist=false, value="") target
#@ CharSequence (label="Kind", description="What is made: pairs, or triples for X-Microscopy.", visibility=INVISIBLE, required=false, persist=false, value="pairs") kind
#@ CharSequence (label="Simulate", description="Simulate instead of reading files; widefield-storm is for kind xmicroscopy.", visibility=INVISIBLE, required=false, persist=false, value="none") simulate
#@ CharSequence (label="Fields", description="How many fields to simulate.", visibility=INVISIBLE, required=false, persist=false, value="40") fields
#@ CharSequence (label="Structure", description="What is in the images, where no sub-folder says it; for simulations what to draw.", visibility=INVISIBLE, required=false, persist=false, value="") structure
#@ CharSequence (label="Input pixel nm", description="Edge of an input pixel in nm; left out, the files say it.", visibility=INVISIBLE, required=false, persist=false, value="") input_pixel_nm
#@ CharSequence (label="Target pixel nm", description="Edge of a target pixel in nm; left out, the files say it.", visibility=INVISIBLE, required=false, persist=false, value="") target_pixel_nm
#@ CharSequence (label="Input fwhm nm", description="Width of the input's PSF at half its height in nm, if known; written down.", visibility=INVISIBLE, required=false, persist=false, value="") input_fwhm_nm
#@ CharSequence (label="Target fwhm nm", description="Width of the target's PSF in nm, if known; written down.", visibility=INVISIBLE, required=false, persist=false, value="") target_fwhm_nm
#@ CharSequence (label="Resample", description="Resample targets whose pixels don't fit the input's a whole number of times.", visibility=INVISIBLE, required=false, persist=false, value="false") resample
#@ CharSequence (label="Block px", description="Edge of blocks to cut fields into, in input pixels; 0 cuts only where there are too few.", visibility=INVISIBLE, required=false, persist=false, value="0") block_px
#@ CharSequence (label="Max shift px", description="Longest way of a target to its input, in input pixels.", visibility=INVISIBLE, required=false, persist=false, value="24.0") max_shift_px
#@ CharSequence (label="Min agreement", description="Least correlation of details between an input and its blurred target.", visibility=INVISIBLE, required=false, persist=false, value="0.25") min_agreement
#@ CharSequence (label="Table", description="Table of localizations, or a folder of them (xmicroscopy).", visibility=INVISIBLE, required=false, persist=false, value="") table
#@ CharSequence (label="Widefield", description="Widefield image of the same field, or a folder of them (xmicroscopy).", visibility=INVISIBLE, required=false, persist=false, value="") widefield
#@ CharSequence (label="Sparse", description="Undersampled renderings of the targets' fields (xmicroscopy); left out, they are drawn.", visibility=INVISIBLE, required=false, persist=false, value="") sparse
#@ CharSequence (label="Dense", description="Dense renderings of the targets' fields (xmicroscopy); left out, the targets are taken.", visibility=INVISIBLE, required=false, persist=false, value="") dense
#@ CharSequence (label="Localizations", description="Localizations in an undersampled image (xmicroscopy).", visibility=INVISIBLE, required=false, persist=false, value="10000") localizations
#@ CharSequence (label="Subsamplings", description="Undersampled images of each field (xmicroscopy).", visibility=INVISIBLE, required=false, persist=false, value="3") subsamplings
#@ CharSequence (label="Srm pixel nm", description="Edge of a super-resolution pixel in nm (xmicroscopy); rendered images keep theirs.", visibility=INVISIBLE, required=false, persist=false, value="20.0") srm_pixel_nm
#@ CharSequence (label="Table pixel nm", description="Edge of a camera pixel in nm, for tables that count in pixels (xmicroscopy).", visibility=INVISIBLE, required=false, persist=false, value="") table_pixel_nm
#@ CharSequence (label="Seed", description="Seed of the split, of simulations and of subsamplings.", visibility=INVISIBLE, required=false, persist=false, value="0") seed
#@ CharSequence (label="Overwrite", description="Replace a folder of pairs that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
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
    run("pairs", globals())
