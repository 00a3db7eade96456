// ZooBridge: run a BioImage Model Zoo package on the active image, or inside its selection.
// Change `model`: the name of an installed package ("zoobridge models list"), its folder or its .zip.
// Change `command` where ImageJ cannot find zoobridge: its full path, with / (on Windows too).
// `output` is a folder to keep the result in; `more` holds other options of "zoobridge predict".
// From a macro: runMacro("/path/to/predict_active_image.ijm", "model=deep-storm tile=512") gives
// the title of the (last) result, or "[aborted]" after a failure; keys are the names of these variables.

command = call("ij.Prefs.get", "zoobridge.command", "zoobridge");
model = "deep-storm";
tile = "0";       // edge of a tile in pixels; 0: as large as the memory allows
device = "auto";  // auto, cpu or cuda
output = "";      // "": the result is opened and not kept on disk
more = "";        // for example "--batch 4 --engine torch"

requires("1.53t");
command = option("command", command);
model = option("model", model);
tile = option("tile", tile);
device = option("device", device);
output = slashes(option("output", output));
more = option("more", more);
if (nImages == 0) exit("ZooBridge: no image is open. Open one, then run this macro again.");

// Save a copy, so that the image itself keeps its title and its place on disk. A selection
// makes the copy smaller: only what is inside is predicted.
image = getImageID();
title = withoutEnding(getTitle());
result = title + "-" + nameOfModel(model);
temporary = slashes(getDir("temp"));
folder = temporary + "/zoobridge-" + d2s(getTime(), 0) + "-" + d2s(random * 1e9, 0);
File.makeDirectory(folder);
if (!File.isDirectory(folder)) exit("ZooBridge: cannot make the folder " + folder + ".");
input = folder + "/" + fileName(title) + ".tif";
wasBatchMode = is("Batch Mode");
setBatchMode(true);
run("Duplicate...", "title=zoobridge duplicate");
saveAs("Tiff", input);
close();
selectImage(image);
if (!wasBatchMode) setBatchMode(false);

// Predict, and stop here with the reason where it fails.
if (output == "") output = folder;
words = newArray(command, "predict", "--model", model, "--input", input,
    "--output", output + "/" + fileName(result) + ".tif", "--tile", tile, "--device", device,
    "--overwrite");
if (more != "") {
    others = split(more, " ");
    words = Array.concat(words, others);
}
showStatus("ZooBridge: " + model + " is at work");
status = statusOf(words);
failure = failureOf(status, command);
logWarnings(status);
if (failure != "") {
    removeFolder(folder);
    exit("ZooBridge: " + failure);
}

// Open what came out. A package with several outputs gives several images.
paths = imagesIn(jsonMember(status, "outputs"));
for (i = 0; i < paths.length; i++) {
    open(paths[i]);
    stem = withoutEnding(File.getName(paths[i]));
    rename(result + substring(stem, lengthOf(fileName(result))));
}
removeFolder(folder);
result = getTitle();
return result;

// Deletes a folder and the files in it.
function removeFolder(folder) {
    files = getFileList(folder);
    for (i = 0; i < files.length; i++) deleted = File.delete(folder + "/" + files[i]);
    deleted = File.delete(folder);
}

// ---- The rest is the same in every ZooBridge macro ----

// The value of key=value or key=[a value with spaces] in the macro's argument.
function option(key, preset) {
    value = call("ij.Macro.getValue", getArgument(), key, preset);
    return value;
}

// A path with / and without one at the end; Windows and Java both take it.
function slashes(path) {
    path = replace(path, "\\", "/");
    while (lengthOf(path) > 1 && endsWith(path, "/")) path = substring(path, 0, lengthOf(path) - 1);
    return path;
}

// A title or file name without the ending of an image file.
function withoutEnding(name) {
    return replace(name, "(?i)(\\.ome)?\\.(tiff?|png|jpe?g|bmp|gif|zip|npy)$", "");
}

// A title as a file name that every system allows.
function fileName(title) {
    return replace(title, "[^A-Za-z0-9._-]", "_");
}

// The short name of a model: of a path the last part that tells.
function nameOfModel(model) {
    path = replace(slashes(model), "(?i)/[^/]*\\.ya?ml$", "");
    name = withoutEnding(substring(path, lastIndexOf(path, "/") + 1));
    return name;
}

// The paths of the image files anywhere in a JSON text.
function imagesIn(json) {
    paths = newArray(0);
    if (startsWith(json, "\"")) {
        path = jsonText(json);
        if (matches(path, "(?is).*\\.tiff?")) paths = newArray(path);
    }
    if (startsWith(json, "{") || startsWith(json, "[")) {
        items = jsonItems(json);
        for (i = 0; i < items.length; i++) {
            more = imagesIn(items[i]);
            paths = Array.concat(paths, more);
        }
    }
    return paths;
}

// Runs a command that ends with one line of JSON, and gives that line; "" where there is none.
// `words` holds the command line, one word per item; items may contain spaces.
function statusOf(words) {
    code = "";
    for (i = 0; i < words.length; i++) {
        word = replace(replace(words[i], "\\", "\\\\"), "\"", "\\\"");
        if (i > 0) code = code + ", ";
        code = code + "\"" + word + "\"";
    }
    // exec() has no form for a list of words, so the call is written out. It gives only what the
    // command printed on stdout; its exit code and stderr are lost, and so all is in that one line.
    printed = "" + eval("return exec(" + code + ");");
    lines = split(printed, "\n");
    for (i = lines.length - 1; i >= 0; i--) {
        line = String.trim(lines[i]);
        if (startsWith(line, "{\"zoobridge\"") && endsWith(line, "}")) return line;
    }
    if (String.trim(printed) != "") print("ZooBridge: " + words[0] + " said: " + printed);
    return "";
}

// Why the job did not succeed, in sentences; "" where it did.
function failureOf(status, command) {
    if (status == "")
        return "No answer from '" + command + "'. Is zoobridge installed, and is that where it is?\n"
            + "Give its full path (in a terminal: 'which zoobridge', on Windows 'where zoobridge'),\n"
            + "in this macro's first lines or, for all of them, by running once:\n"
            + "call(\"ij.Prefs.set\", \"zoobridge.command\", \"/full/path/of/zoobridge\");";
    ok = jsonMember(status, "ok");
    if (ok == "true") return "";
    error = jsonMember(status, "error");
    what = jsonText(jsonMember(error, "what"));
    found = sentence(jsonText(jsonMember(error, "found")));
    expected = sentence(jsonText(jsonMember(error, "expected")));
    remedy = sentence(jsonText(jsonMember(error, "remedy")));
    reason = what + ": " + found;
    if (expected != "") reason = reason + "\nExpected " + expected;
    if (remedy != "") reason = reason + "\n" + remedy;
    return reason;
}

function sentence(text) {
    if (text == "" || endsWith(text, ".") || endsWith(text, "!") || endsWith(text, "?")) return text;
    return text + ".";
}

function logWarnings(status) {
    warnings = jsonItems(jsonMember(status, "warnings"));
    for (i = 0; i < warnings.length; i++) print("ZooBridge: " + jsonText(warnings[i]));
}

// The JSON text of a member of a JSON object; "" where it is missing.
function jsonMember(json, key) {
    if (!startsWith(json, "{")) return "";
    items = jsonItems(json);
    for (i = 0; i + 1 < items.length; i = i + 2) {
        name = jsonText(items[i]);
        if (name == key) return items[i + 1];
    }
    return "";
}

// The JSON texts inside an array, or the keys and values of an object in turn.
function jsonItems(json) {
    items = newArray(0);
    i = 1;
    while (i < lengthOf(json) - 1) {
        c = charCodeAt(json, i);
        if (c <= 32 || c == 44 || c == 58) {  // space , :
            i++;
        } else {
            end = jsonEnd(json, i);
            items = Array.concat(items, String.trim(substring(json, i, end)));
            i = end;
        }
    }
    return items;
}

// Where the JSON value that starts at `start` ends: the index behind its last character.
function jsonEnd(json, start) {
    depth = 0;
    inText = false;
    for (i = start; i < lengthOf(json); i++) {
        c = charCodeAt(json, i);
        if (inText) {
            if (c == 92) i++;  // a backslash and what it escapes
            else if (c == 34) inText = false;
        } else if (c == 34) inText = true;
        else if (c == 123 || c == 91) depth++;  // { [
        else if (c == 125 || c == 93) depth--;  // } ]
        else if (depth == 0 && (c == 44 || c == 58)) return maxOf(i, start + 1);  // , :
        if (depth < 0) return maxOf(i, start + 1);
        if (depth == 0 && !inText && (c == 34 || c == 125 || c == 93)) return i + 1;
    }
    return lengthOf(json);
}

// What a JSON string says; a number, true or false as it stands; "" for null.
function jsonText(json) {
    if (json == "null") return "";
    if (!startsWith(json, "\"")) return json;
    text = "";
    for (i = 1; i < lengthOf(json) - 1; i++) {
        c = charCodeAt(json, i);
        if (c == 92) {
            i++;
            c = charCodeAt(json, i);
            if (c == 117) {  // u and four hexadecimal digits
                c = parseInt(substring(json, i + 1, i + 5), 16);
                i = i + 4;
            } else if (c == 110) c = 10;
            else if (c == 116) c = 9;
            else if (c == 114) c = 13;
            else if (c == 98) c = 8;
            else if (c == 102) c = 12;
        }
        text = text + fromCharCode(c);
    }
    return text;
}
