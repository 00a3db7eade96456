// ZooBridge: STORM-like images of microtubules from a widefield image, by X-Microscopy.
// Works in plain ImageJ 1.x (by the program zoobridge, see `command`), in ImageJ2 and in Fiji.
// Change `input` (the widefield image) and `folder`, where all goes; asked for while they are "". `model`: a package of
// the whole chain. An image of coarser pixels is enlarged to the model's first; the page says whether to believe XM3.
// From a macro: title = runMacro("/path/to/x_microscopy.ijm", "input=[/a.tif] folder=[/out] model=[/run/package]");

command = call("ij.Prefs.get", "zoobridge.command", "zoobridge");
input = "";
folder = "";
model = "xmicroscopy";
model_pixel_nm = "20";   // pixels that the model was trained for
trust = "false";         // let the package run code of its own

requires("1.53t");
command = option("command", command);
input = option("input", input);
folder = option("folder", folder);
model = option("model", model);
model_pixel_nm = option("model_pixel_nm", model_pixel_nm);
trust = option("trust", trust);
if (input == "") input = File.openDialog("Widefield image");
if (!File.exists(input)) exit("ZooBridge: there is no file " + input + ".");
if (folder == "") folder = getDirectory("Folder for the results");
folder = slashes(folder);
File.makeDirectory(folder);
if (!File.isDirectory(folder)) exit("ZooBridge: cannot make the folder " + folder + ".");
start = folder + "/" + fileName(withoutEnding(File.getName(input)));

input = enlarged(input, start + "-enlarged.tif", parseFloat(model_pixel_nm));
job(command, "Explain", newArray("image", input, "model", model, "output", start + "-explained", "trust", trust));
job(command, "Predict", newArray("model", model, "input", input, "output", start + "-x.tif", "trust", trust));
open(start + "-x-xm3.tif");
resetMinAndMax();
run("Enhance Contrast", "saturated=0.2");
title = getTitle();
print("ZooBridge: " + title + " is XM3; look at " + start + "-explained/page.html");
return title;

// Saves an image on pixels of that size, where it is calibrated and its own differ; gives the file to go on with.
function enlarged(input, output, pixel_nm) {
    open(input);
    id = getImageID();
    getPixelSize(unit, width, height);
    nm = 0;
    if (unit == "nm") nm = 1;
    if (unit == "um" || unit == "micron" || unit == "microns" || unit == fromCharCode(181) + "m") nm = 1000;
    factor = width * nm / pixel_nm;
    if (factor == 0) print("ZooBridge: " + input + " has no pixel size; it is taken as it is.");
    if (factor == 0 || (factor > 0.9 && factor < 1.1)) {
        selectImage(id);
        close();
        return input;
    }
    new_width = round(getWidth() * factor);
    new_height = round(getHeight() * height * nm / pixel_nm);
    run("32-bit");
    run("Size...", "width=" + new_width + " height=" + new_height + " interpolation=Bicubic");
    saveAs("Tiff", output);
    close();
    return output;
}

// ---- Jobs, by the menu or by the program, the same in every macro of several jobs ----

// Does a job, and stops this macro where it fails. `values` holds keys and values in turn; "" is
// the default. Where ImageJ has the menu command it is used: it shows progress, and Esc stops it.
// Else `command` runs, and ImageJ waits for its end in silence.
function job(command, name, values) {
    showStatus("ZooBridge: " + name);
    if (hasCommand("ZooBridge " + name)) {
        options = "";
        for (i = 0; i < values.length; i = i + 2) {
            if (values[i + 1] != "") options = options + values[i] + "=[" + values[i + 1] + "] ";
        }
        run("ZooBridge " + name, options);
        return;
    }
    words = newArray(command, toLowerCase(name));
    for (i = 0; i < values.length; i = i + 2) {
        more = wordsOf(values[i], values[i + 1]);
        words = Array.concat(words, more);
    }
    status = statusOf(words);
    failure = failureOf(status, command);
    logWarnings(status);
    if (failure != "") exit("ZooBridge: " + failure);
    print("ZooBridge " + name + ": " + jsonMember(status, "outputs"));
}

// A key and its value as words of a command line.
function wordsOf(key, value) {
    if (value == "" || value == "false") return newArray(0);
    if (key == "recipe") return newArray(value);
    name = "--" + replace(key, "_", "-");
    if (value == "true") return newArray(name);
    words = newArray(name, value);
    if (key == "change" || key == "recipes" || key == "models") {
        parts = split(value, ";");
        words = Array.concat(newArray(name), parts);
    }
    return words;
}

function hasCommand(name) {
    List.setCommands;
    found = List.get(name);
    if (found == "") return false;
    return true;
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
