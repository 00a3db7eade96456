// ZooBridge: run a package on the active image, by the command Plugins > ZooBridge > ZooBridge Predict.
// Needs ImageJ2 or Fiji after "zoobridge fiji install"; plain ImageJ takes predict_active_image.ijm.
// Change `model` (an installed name, a folder or a .zip); `more` holds other keys of the command.
// `output`: "" shows the result, a .tif is written and opened. `input`: opened where no image is open.
// From a macro: title = runMacro("/path/to/predict_with_menu.ijm", "model=deep-storm tile=512");

model = "deep-storm";
tile = "0";       // edge of a tile in pixels; 0: as large as the memory allows
device = "auto";  // auto, cpu or cuda
output = "";      // for example "/results/cells.tif"
input = "";       // for example "/data/cells.tif"
more = "";        // for example "channel=2 halo=16 sum=true"

requires("1.53t");
model = option("model", model);
tile = option("tile", tile);
device = option("device", device);
output = option("output", output);
input = option("input", input);
more = option("more", more);
needCommand("ZooBridge Predict");
needImage(input);

// A failure of the command stops this macro, and says why.
run("ZooBridge Predict", setting("model", model) + setting("tile", tile)
    + setting("device", device) + setting("output", output) + more);
if (output != "") open(output);
result = getTitle();
return result;

// ---- The rest is the same in every macro that needs the menu Plugins > ZooBridge ----

// The value of key=value or key=[a value with spaces] in the macro's argument.
function option(key, preset) {
    value = call("ij.Macro.getValue", getArgument(), key, preset);
    return value;
}

// Stops here where ImageJ has no such command.
function needCommand(name) {
    List.setCommands;
    if (List.get(name) == "")
        exit("ZooBridge: this ImageJ has no command '" + name + "'.\n"
            + "In a terminal, run: zoobridge fiji install FOLDER, with the folder of ImageJ2 or Fiji,\n"
            + "and start it again. Plain ImageJ 1.x takes predict_active_image.ijm instead.");
}

// Makes sure that an image is open: the active one, or else the file.
function needImage(path) {
    if (nImages == 0 && path == "")
        exit("ZooBridge: no image is open. Open one, then run this macro again.");
    if (nImages == 0) open(path);
}

// key=[value] for a command, nothing for an empty value.
function setting(key, value) {
    if (value == "") return "";
    return key + "=[" + value + "] ";
}
