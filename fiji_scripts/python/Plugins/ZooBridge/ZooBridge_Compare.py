#!Python
# Made by `zoobridge fiji launchers` from the job `compare`; changes here are lost.
#@script(label="ZooBridge Compare", headless=true)
#@ CharSequence (label="Output", description="Folder for the page, the tables and the trained models; made if missing.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Pairs", description="Folder of image pairs, as 'zoobridge pairs' writes it.", visibility=INVISIBLE, required=false, persist=false, value="") pairs
#@ CharSequence (label="Models", description="Packages to compare: folders, zips or installed names.", visibility=INVISIBLE, required=false, persist=false, value="") models
#@ CharSequence (label="Recipes", description="Recipes to train first (edsr, srgan, sr3, dfcan, or files), in this order.", visibility=INVISIBLE, required=false, persist=false, value="") recipes
#@ CharSequence (label="Minutes", description="Length of each training; 0 takes the recipe's.", visibility=INVISIBLE, required=false, persist=false, value="0.0") minutes
#@ CharSequence (label="Steps", description="Length of each training in steps; 0 takes the recipe's.", visibility=INVISIBLE, required=false, persist=false, value="0") steps
#@ CharSequence (label="Data range", description="What the targets span, from 0; 0 takes it from their percentiles, the same for all.", visibility=INVISIBLE, required=false, persist=false, value="0.0") data_range
#@ CharSequence (label="Lpips weights", description="File of torchvision's AlexNet or VGG-16, for LPIPS; empty measures a stand-in.", visibility=INVISIBLE, required=false, persist=false, value="") lpips_weights
#@ CharSequence (label="Lpips heads", description="File of the linear heads of LPIPS; empty takes those of torchmetrics.", visibility=INVISIBLE, required=false, persist=false, value="") lpips_heads
#@ CharSequence (label="Lpips backbone", description="Which network the weights are of.", visibility=INVISIBLE, required=false, persist=false, value="alex") lpips_backbone
#@ CharSequence (label="Draws", description="Draws of the bootstrap, for intervals and ranks.", visibility=INVISIBLE, required=false, persist=false, value="1000") draws
#@ CharSequence (label="Seed", description="Seed of the draws, and of the trainings.", visibility=INVISIBLE, required=false, persist=false, value="0") seed
#@ CharSequence (label="Device", description="Where to compute: auto, cpu, cuda, cuda:1 or mps.", visibility=INVISIBLE, required=false, persist=false, value="auto") device
#@ CharSequence (label="Trust", description="Let packages run code of their own (remembered for this content).", visibility=INVISIBLE, required=false, persist=false, value="false") trust
#@ CharSequence (label="Overwrite", description="Replace results that are there; trained models stay and are used again.", visibility=INVISIBLE, required=false, persist=false, value="false") overwrite
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
    run("compare", globals())
