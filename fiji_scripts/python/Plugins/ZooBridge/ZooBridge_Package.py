#!Python
# Made by `zoobridge fiji launchers` from the job `package`; changes here are lost.
#@script(label="ZooBridge Package", headless=true)
#@ CharSequence (label="Input", description="Folder of the run.", visibility=INVISIBLE, required=false, persist=false, value="") input
#@ CharSequence (label="Output", description="Folder of the package; none takes the run's own.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Overwrite", description="Replace a package that is there.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
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
    run("package", globals())
