#!Python
# Made by `zoobridge fiji launchers` from the job `explain`; changes here are lost.
#@script(label="ZooBridge Explain", headless=true)
#@ CharSequence (label="Model", description="Folder, zip, rdf.yaml or installed name of the model's package.", visibility=INVISIBLE, required=false, persist=false, value="deep-storm") model
#@ CharSequence (label="Output", description="Folder for page.html, report.json and summary.txt; empty writes none.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Image", description="Image that came out badly, as it was given to the model.", visibility=INVISIBLE, required=false, persist=false, value="") image
#@ CharSequence (label="Second", description="Second image, for a model of two inputs: X-Net's MU-SRM.", visibility=INVISIBLE, required=false, persist=false, value="") second
#@ CharSequence (label="Saved", description="What was saved of the output, by any program; empty looks at the model's own.", visibility=INVISIBLE, required=false, persist=false, value="") saved
#@ CharSequence (label="Result", description="Output to judge, by its name; empty takes the fused or first one.", visibility=INVISIBLE, required=false, persist=false, value="") result
#@ CharSequence (label="Repair", description="Write a repaired package into the folder, where running statistics of norms decayed.", visibility=INVISIBLE, required=false, persist=false, value="false") repair
#@ CharSequence (label="Trust", description="Let the package run code of its own (remembered for this content).", visibility=INVISIBLE, required=false, persist=false, value="false") trust
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
    run("explain", globals())
