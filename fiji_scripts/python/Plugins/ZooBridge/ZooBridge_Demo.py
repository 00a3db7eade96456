#!Python
# Made by `zoobridge fiji launchers` from the job `demo`; changes here are lost.
#@script(label="ZooBridge Demo", headless=true)
#@ CharSequence (label="Output", description="Folder for the results; made if missing.", visibility=INVISIBLE, required=false, persist=false, value="") output
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
    run("demo", globals())
