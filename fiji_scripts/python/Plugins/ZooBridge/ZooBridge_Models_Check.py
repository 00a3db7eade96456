#!Python
# Made by `zoobridge fiji launchers` from the job `models check`; changes here are lost.
#@script(label="ZooBridge Models Check", headless=true)
#@ CharSequence (label="Model", description="Folder, .zip, YAML file or name of a model package.", visibility=INVISIBLE, required=false, persist=false, value="deep-storm") model
#@ CharSequence (label="Execute", description="Run the network on its test tensors, in every weights format, whole and in tiles.", visibility=INVISIBLE, required=false, persist=false, value="true") execute
#@ CharSequence (label="Trust", description="Agree that the package may run code of its own.", visibility=INVISIBLE, required=false, persist=false, value="false") trust
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
    run("models check", globals())
