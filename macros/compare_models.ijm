// ZooBridge: run several packages on the active image; shows the results side by side, lists differences.
// Needs ImageJ2 or Fiji after "zoobridge fiji install".
// Change `models`: installed names, folders or .zip files, with ; between them; the first is compared with.
// `trust=true` lets packages run code of their own. `input`: opened where no image is open.
// From a macro: title = runMacro("/path/to/compare_models.ijm", "models=[deep-storm;/my/package]");

models = "deep-storm;deep-storm";
input = "";      // for example "/data/movie.tif"
trust = "false";
more = "";       // other keys of ZooBridge Predict, for example "tile=256 channel=2"

requires("1.53t");
models = option("models", models);
input = option("input", input);
trust = option("trust", trust);
more = option("more", more);
needCommand("ZooBridge Predict");
needImage(input);
source = getImageID();
title = getTitle();
names = split(models, ";");
if (names.length < 2) exit("ZooBridge: models is '" + models + "'. Expected two or more, with ; between them.");

// Predict. A failure stops this macro, and says why. Outputs of all frames are added up.
results = newArray(0);
width = getWidth();
height = getHeight();
for (i = 0; i < names.length; i++) {
    selectImage(source);
    run("ZooBridge Predict", setting("model", String.trim(names[i])) + setting("trust", trust)
        + "sum=true " + more);
    results = Array.concat(results, getImageID());
    names[i] = getTitle();
    width = maxOf(width, getWidth());
    height = maxOf(height, getHeight());
}

// One panel for each, of the same size, from black to white.
wasBatchMode = is("Batch Mode");
setBatchMode(true);
newImage("panels", "32-bit black", width, height, names.length + 1);
panels = getImageID();
addPanel(panels, 1, source, title);
for (i = 0; i < names.length; i++) addPanel(panels, i + 2, results[i], names[i]);
selectImage(panels);
setMinAndMax(0, 1);
run("Make Montage...", "columns=" + (names.length + 1) + " rows=1 scale=1 border=2 label");
rename(title + "-compared");
montage = getImageID();

// r: correlation of the pixels with those of the first model; 1 where they are the same but for scale.
print("model\tmean\tmaximum\tr with " + names[0]);
for (i = 0; i < names.length; i++) {
    selectImage(results[i]);
    getStatistics(area, mean, least, most);
    print(names[i] + "\t" + d2s(mean, 4) + "\t" + d2s(most, 2) + "\t" + d2s(correlation(panels, 2, i + 2), 4));
}
selectImage(panels);
close();
selectImage(montage);
if (!wasBatchMode) setBatchMode("exit and display");
result = getTitle();
return result;

// Draws an image, the average of a stack, into a slice of the panels.
function addPanel(panels, slice, image, label) {
    selectImage(panels);
    width = getWidth();
    height = getHeight();
    selectImage(image);
    if (nSlices > 1) run("Z Project...", "projection=[Average Intensity]");
    else run("Duplicate...", "title=panel");
    panel = getImageID();
    run("Select None");
    run("32-bit");
    run("Size...", "width=" + width + " height=" + height + " interpolation=None");
    run("Enhance Contrast", "saturated=0.3");
    getMinAndMax(low, high);
    if (high <= low) high = low + 1;
    run("Subtract...", "value=" + low);
    run("Divide...", "value=" + (high - low));
    run("Select All");
    Image.copy;
    close();
    selectImage(panels);
    setSlice(slice);
    Image.paste(0, 0);
    run("Select None");
    setMetadata("Label", label);
}

// The correlation of two slices, by the means of products.
function correlation(panels, first, second) {
    a = meanOfProduct(panels, first, 0);
    b = meanOfProduct(panels, second, 0);
    ab = meanOfProduct(panels, first, second) - a * b;
    aa = meanOfProduct(panels, first, first) - a * a;
    bb = meanOfProduct(panels, second, second) - b * b;
    return ab / sqrt(aa * bb);
}

// The mean over all pixels of one slice, or of one times the other.
function meanOfProduct(panels, first, second) {
    selectImage(panels);
    setSlice(first);
    run("Duplicate...", "title=first");
    if (second > 0) {
        selectImage(panels);
        setSlice(second);
        run("Duplicate...", "title=second");
        imageCalculator("Multiply", "first", "second");
        close("second");
        selectImage("first");
    }
    getStatistics(area, mean);
    close("first");
    return mean;
}

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
