#!Python
# Made by `zoobridge fiji launchers` from the job `train`; changes here are lost.
#@script(label="ZooBridge Train", headless=true)
#@ CharSequence (label="Output", description="Folder of the run; made if missing.", visibility=INVISIBLE, required=false, persist=false, value="") output
#@ CharSequence (label="Recipe", description="Recipe (YAML), or a shipped one: deep-storm, localizer, edsr, srgan, sr3, xmicroscopy ...", visibility=INVISIBLE, required=false, persist=false, value="deep-storm") recipe
#@ CharSequence (label="Stack", description="Movie to learn from, TIFF; its right half judges. A localizer measures it.", visibility=INVISIBLE, required=false, persist=false, value="") stack
#@ CharSequence (label="Table", description="Localizations in this movie, as ThunderSTORM exports them; a localizer is made like them.", visibility=INVISIBLE, required=false, persist=false, value="") table
#@ CharSequence (label="Pixel size nm", description="Edge of a camera pixel; 0 takes it from the table's protocol, the stack or the recipe.", visibility=INVISIBLE, required=false, persist=false, value="0.0") pixel_size_nm
#@ CharSequence (label="Simulate", description="Whether to learn from a simulation too; auto: only where there is no movie.", visibility=INVISIBLE, required=false, persist=false, value="auto") simulate
#@ CharSequence (label="Like", description="Table whose density, photons, widths and background the simulation takes over.", visibility=INVISIBLE, required=false, persist=false, value="") like
#@ CharSequence (label="Pairs", description="Folder of image pairs, as `zoobridge pairs` makes it; for edsr, srgan, sr3, dfcan ...", visibility=INVISIBLE, required=false, persist=false, value="") pairs
#@ CharSequence (label="Camera offset adu", description="Counts of a dark pixel; -1 takes it from the table's protocol or the recipe.", visibility=INVISIBLE, required=false, persist=false, value="-1.0") camera_offset_adu
#@ CharSequence (label="Electrons per adu", description="Electrons per count; 0 takes it from the table's protocol or the recipe.", visibility=INVISIBLE, required=false, persist=false, value="0.0") electrons_per_adu
#@ CharSequence (label="Em gain", description="Electron multiplication gain; 0 takes it from the table's protocol or the recipe.", visibility=INVISIBLE, required=false, persist=false, value="0.0") em_gain
#@ CharSequence (label="Minutes", description="Length of the training; 0 takes the recipe's.", visibility=INVISIBLE, required=false, persist=false, value="0.0") minutes
#@ CharSequence (label="Steps", description="Length in steps; 0 takes the recipe's.", visibility=INVISIBLE, required=false, persist=false, value="0") steps
#@ CharSequence (label="Seed", description="Seed of weights and data; -1 takes the recipe's.", visibility=INVISIBLE, required=false, persist=false, value="-1") seed
#@ CharSequence (label="Device", description="Where to train.", visibility=INVISIBLE, required=false, persist=false, value="auto") device
#@ CharSequence (label="Change", description="Other values of the recipe, KEY=VALUE, such as fit.learning_rate=0.001.", visibility=INVISIBLE, required=false, persist=false, value="") change
#@ CharSequence (label="Resume", description="Go on with the run in the folder.", visibility=INVISIBLE, required=false, persist=false, value="false") resume
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
    run("train", globals())
