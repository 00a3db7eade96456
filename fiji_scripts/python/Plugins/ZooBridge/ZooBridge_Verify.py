#!Python
# Made by `zoobridge fiji launchers` from the job `verify`; changes here are lost.
#@script(label="ZooBridge Verify", headless=true)
#@ CharSequence (label="Model", description="Packages that restore: folders, zips or installed names; several make an ensemble.", visibility=INVISIBLE, required=false, persist=false, value="deep-storm") model
#@ CharSequence (label="Input", description="The image before; of a stack the first plane.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="Page (.html) to write; the mean and the spread lie beside it.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Input fwhm nm", description="Width of the input's PSF in nm; with the target's the blur is known, else it is fitted.", visibility=INVISIBLE, required=false, persist=false, value="0.0") input_fwhm_nm
#@ CharSequence (label="Target fwhm nm", description="Width of the PSF that the models' outputs have, in nm.", visibility=INVISIBLE, required=false, persist=false, value="0.0") target_fwhm_nm
#@ CharSequence (label="Turn", description="Whether each model restores all eight orientations; off it restores the image once.", visibility=INVISIBLE, required=false, persist=false, value="true") turn
#@ CharSequence (label="Device", description="Where to compute: auto, cpu, cuda, cuda:1 or mps.", visibility=INVISIBLE, required=false, persist=false, value="auto") device
#@ CharSequence (label="Axes", description="Axes of the image file, such as tyx, where it doesn't say or says it wrong.", visibility=INVISIBLE, required=false, persist=false, value="") axes
#@ CharSequence (label="Trust", description="Let packages run code of their own (remembered for this content).", visibility=INVISIBLE, required=false, persist=false, value="false") trust
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
    run("verify", globals())
