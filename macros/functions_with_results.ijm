// ZooBridge: jobs as macro functions that return something, and that a macro can test for failure.
// Needs ImageJ2 or Fiji after "zoobridge fiji install".
// Change `models`: names, folders or .zip files, with ; between them; the first that works is taken.
// Every job has a function: Ext.zooPredict, zooLocalize, zooTrain ... (options, status). `input`: as elsewhere.
// From a macro: title = runMacro("/path/to/functions_with_results.ijm", "models=[my-model;deep-storm]");

models = "my-model;deep-storm";
input = "";  // for example "/data/cells.tif", opened where no image is open
more = "";   // other keys of ZooBridge Predict, for example "tile=256 channel=2"

requires("1.53t");
models = option("models", models);
input = option("input", input);
more = option("more", more);
needCommand("ZooBridge Macro Extensions");
needImage(input);
run("ZooBridge Macro Extensions");

// A function returns the title of what it shows, else a path or a number; "" where it failed. The
// second argument, a variable, gets the outcome as a line of JSON.
status = "";
n = Ext.zooModels("", status);
print("ZooBridge: " + n + " installed models");
image = getImageID();
names = split(models, ";");
result = "";
for (i = 0; i < names.length && result == ""; i++) {
    selectImage(image);
    result = Ext.zooPredict(setting("model", String.trim(names[i])) + more, status);
    if (result == "") print("ZooBridge: " + names[i] + ": " + textIn(status, "found"));
}
if (result == "") exit("ZooBridge: no model ran on this image.\n" + textIn(status, "remedy"));
selectImage(result);
getStatistics(area, mean, least, most);
print("ZooBridge: " + result + " has mean " + mean + " and maximum " + most);
return result;

// A text in the outcome, here a part of its error.
function textIn(status, key) {
    start = indexOf(status, "\"" + key + "\":\"");
    if (start < 0) return "";
    rest = replace(substring(status, start + lengthOf(key) + 4), "\\\\\"", "'");  // \" in the text
    return substring(rest, 0, indexOf(rest, "\""));
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
