#!Python
# Made by `zoobridge fiji launchers` from all jobs; changes here are lost.
#@script(label="ZooBridge Macro Extensions", headless=true)
try:
    from bridge.fiji.extensions import register
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
    register({
        "zooPredict": "predict",
        "zooDemo": "demo",
        "zooLocalize": "localize",
        "zooFilter": "filter",
        "zooLink": "link",
        "zooDrift": "drift",
        "zooRender": "render",
        "zooConvert": "convert",
        "zooSimulate": "simulate",
        "zooEvaluate": "evaluate",
        "zooExplain": "explain",
        "zooCompare": "compare",
        "zooVerify": "verify",
        "zooCompareLocalizers": "compare-localizers",
        "zooPairs": "pairs",
        "zooDegrade": "degrade",
        "zooDetect": "detect",
        "zooModelsList": "models list",
        "zooModelsInfo": "models info",
        "zooModelsCheck": "models check",
        "zooModelsAdd": "models add",
        "zooModelsRemove": "models remove",
        "zooTrain": "train",
        "zooPackage": "package",
        "zooDoctor": "doctor",
        "zooModels": "models list",
    })
