// ZooBridge: run a package on every frame of a movie: their sum as one image, and all frames.
// Needs ImageJ2 or Fiji after "zoobridge fiji install"; plain ImageJ: predict_active_image.ijm, more=--sum.
// Change `model` (an installed name, a folder or a .zip) and `wanted`: "sum", "frames" or "both".
// The sum needs the memory of one frame, the frames that of all. `input`: opened where no image is open.
// From a macro: title = runMacro("/path/to/predict_timelapse.ijm", "model=deep-storm wanted=sum");

model = "deep-storm";
wanted = "both";
tile = "0";       // edge of a tile in pixels; 0: as large as the memory allows
device = "auto";  // auto, cpu or cuda
input = "";       // for example "/data/movie.tif"
more = "";        // for example "channel=2"

requires("1.53t");
model = option("model", model);
wanted = option("wanted", wanted);
tile = option("tile", tile);
device = option("device", device);
input = option("input", input);
more = option("more", more);
if (wanted != "sum" && wanted != "frames" && wanted != "both")
    exit("ZooBridge: wanted is '" + wanted + "'. Expected sum, frames or both.");
needCommand("ZooBridge Predict");
needImage(input);

// ImageJ opens many movies as slices at different depths.
movie = getImageID();
title = getTitle();
Stack.getDimensions(width, height, channels, slices, frames);
if (frames == 1 && slices > 1) {
    Stack.setDimensions(channels, 1, slices);
    print("ZooBridge: the " + slices + " slices of " + title + " are its frames now.");
    frames = slices;
}
if (frames == 1) exit("ZooBridge: " + title + " is a single image. Expected a movie.");

// A failure of the command stops this macro, and says why.
settings = "" + setting("model", model) + setting("tile", tile) + setting("device", device) + more;
if (wanted != "sum") {
    run("ZooBridge Predict", settings);
    rename(getTitle() + "-frames");
}
if (wanted != "frames") {
    selectImage(movie);
    run("ZooBridge Predict", settings + " sum=true");
    rename(getTitle() + "-sum");
}
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
