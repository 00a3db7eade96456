// ZooBridge: simulate movies of blinking emitters, train a network on one, and judge it on the other.
// Works in plain ImageJ 1.x (by the program zoobridge, see `command`), in ImageJ2 and in Fiji.
// Change `folder`, where all goes (asked for while it is ""), and `minutes`, the length of the training.
// `recipe`: deep-storm, deep-storm-original or dsir; `density`: emitters per square micrometre and frame.
// From a macro: page = runMacro("/path/to/simulate_train_evaluate.ijm", "folder=[/my run] minutes=20");

command = call("ij.Prefs.get", "zoobridge.command", "zoobridge");
folder = "";
recipe = "deep-storm";
minutes = "20";
preset = "filaments";  // what is simulated: filaments, thunderstorm, dsir, challenge ...
frames = "200";
width_px = "64";
height_px = "64";
density = "";          // "": the preset's
pixel_size_nm = "100";
threshold = "auto";    // how high a peak must be to count, as for "zoobridge localize"
steps = "";            // length of the training in steps instead
change = "";           // other values of the recipe, with ; between them: "fit.batch=8;fit.learning_rate=0.0005"

requires("1.53t");
command = option("command", command);
folder = option("folder", folder);
recipe = option("recipe", recipe);
minutes = option("minutes", minutes);
preset = option("preset", preset);
frames = option("frames", frames);
width_px = option("width_px", width_px);
height_px = option("height_px", height_px);
density = option("density", density);
pixel_size_nm = option("pixel_size_nm", pixel_size_nm);
threshold = option("threshold", threshold);
steps = option("steps", steps);
change = option("change", change);
if (steps != "") minutes = "";
if (folder == "") folder = getDirectory("Folder for movies, network and report");
folder = slashes(folder);
File.makeDirectory(folder);
if (!File.isDirectory(folder)) exit("ZooBridge: cannot make the folder " + folder + ".");
if (File.exists(folder + "/run")) exit("ZooBridge: " + folder + " holds a run already. Give another folder.");

// Two movies of different samples, each with the table of its true emitters.
simulation = newArray("preset", preset, "frames", frames, "width_px", width_px, "height_px", height_px,
    "density_per_um2", density, "pixel_size_nm", pixel_size_nm, "overwrite", "true");
learn = Array.concat(newArray("output", folder + "/learn.tif", "seed", "1"), simulation);
job(command, "Simulate", learn);
test = Array.concat(newArray("output", folder + "/test.tif", "seed", "2"), simulation);
job(command, "Simulate", test);

// Learn from one, find the emitters of the other, and compare with its truth.
job(command, "Train", newArray("recipe", recipe, "output", folder + "/run", "stack", folder + "/learn.tif",
    "table", folder + "/learn.truth.csv", "pixel_size_nm", pixel_size_nm, "minutes", minutes,
    "steps", steps, "change", change));
job(command, "Localize", newArray("model", folder + "/run/package", "input", folder + "/test.tif",
    "output", folder + "/found.csv", "threshold", threshold, "trust", "true", "overwrite", "true"));
page = folder + "/report.html";
job(command, "Evaluate", newArray("table", folder + "/found.csv", "truth", folder + "/test.truth.csv",
    "field_width_nm", d2s(parseFloat(width_px) * parseFloat(pixel_size_nm), 3),
    "field_height_nm", d2s(parseFloat(height_px) * parseFloat(pixel_size_nm), 3),
    "pixel_size_nm", pixel_size_nm, "output", page, "overwrite", "true"));
print("ZooBridge: the report is " + page + ", the network " + folder + "/run/package");
return page;

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
