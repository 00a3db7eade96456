// ZooBridge: ThunderSTORM localizes a sparse movie, a network learns from it, and localizes a dense movie.
// Works in plain ImageJ 1.x (by the program zoobridge, see `command`), in ImageJ2 and in Fiji.
// Change `sparse`, `dense` (movies) and `folder`, where all goes; asked for while they are "". `table`: the
// sparse movie's localizations, if you have them: ThunderSTORM isn't run then. Keep its -protocol.txt beside it.
// From a macro: table = runMacro("/path/to/train_on_thunderstorm.ijm", "sparse=[a.tif] dense=[b.tif] ...");

command = call("ij.Prefs.get", "zoobridge.command", "zoobridge");
sparse = "";
dense = "";
folder = "";
table = "";
recipe = "localizer";    // coordinates with uncertainties; deep-storm: images of emitters
minutes = "5";           // length of the training
threshold = "auto";      // localizer: least probability, 0.5; deep-storm: a peak's height, or share as 20%
anyway = "";             // true: localize a dense movie that is unlike what the network was trained on
pixel_size_nm = "";      // edge of a camera pixel; "": what ThunderSTORM's protocol says
offset_adu = "";         // counts of a dark pixel, and ...
electrons_per_adu = "";  // ... electrons per count; "": what ThunderSTORM's protocol or camera setup says
em_gain = "";            // "": no electron multiplication, or the protocol's
steps = "";              // length of the training in steps instead
change = "";             // other values of the recipe, with ; between them: "fit.batch=8;fit.learning_rate=0.0005"

requires("1.53t");
command = option("command", command);
sparse = option("sparse", sparse);
dense = option("dense", dense);
folder = option("folder", folder);
table = option("table", table);
recipe = option("recipe", recipe);
minutes = option("minutes", minutes);
threshold = option("threshold", threshold);
anyway = option("anyway", anyway);
pixel_size_nm = option("pixel_size_nm", pixel_size_nm);
offset_adu = option("offset_adu", offset_adu);
electrons_per_adu = option("electrons_per_adu", electrons_per_adu);
em_gain = option("em_gain", em_gain);
steps = option("steps", steps);
change = option("change", change);
if (steps != "") minutes = "";
if (table == "" && !hasCommand("Run analysis"))
    exit("ZooBridge: this ImageJ has no ThunderSTORM (command 'Run analysis').\n"
        + "Install it, or give the sparse movie's localizations as table.");
given = pixel_size_nm + offset_adu + electrons_per_adu + em_gain;
isWhole = false;
if (pixel_size_nm != "" && offset_adu != "" && electrons_per_adu != "") isWhole = true;
if (table == "" && given != "" && !isWhole)
    exit("ZooBridge: for ThunderSTORM give pixel_size_nm, offset_adu and electrons_per_adu, or none of them.");
if (sparse == "") sparse = File.openDialog("Sparse movie, to learn from");
if (dense == "") dense = File.openDialog("Dense movie, to be localized");
if (folder == "") folder = getDirectory("Folder for tables and network");
folder = slashes(folder);
needFile(sparse);
needFile(dense);
File.makeDirectory(folder);
if (!File.isDirectory(folder)) exit("ZooBridge: cannot make the folder " + folder + ".");
if (File.exists(folder + "/run")) exit("ZooBridge: " + folder + " holds a run already. Give another folder.");
found = folder + "/" + fileName(withoutEnding(File.getName(dense))) + "-localized.csv";
if (File.exists(found)) exit("ZooBridge: " + found + " is there already. Give another folder.");

// Localize the sparse movie with ThunderSTORM; the protocol that it saves says which camera it took.
if (table == "") {
    open(sparse);
    camera = "offset=" + offset_adu + " quantumefficiency=1.0 photons2adu=" + electrons_per_adu
        + " pixelsize=" + pixel_size_nm;
    if (em_gain != "") run("Camera setup", camera + " isemgain=true gainem=" + em_gain);
    else if (isWhole) run("Camera setup", camera + " isemgain=false readoutnoise=0.0");
    run("Run analysis", "filter=[Wavelet filter (B-Spline)] scale=2.0 order=3 detector=[Local maximum] "
        + "connectivity=8-neighbourhood threshold=std(Wave.F1) estimator=[PSF: Integrated Gaussian] "
        + "sigma=1.6 fitradius=3 method=[Weighted Least squares] full_image_fitting=false mfaenabled=false "
        + "renderer=[Averaged shifted histograms] magnification=5.0 colorize=false threed=false shifts=2 repaint=50");
    wait(200);  // its table opens in a thread of its own
    table = folder + "/sparse.csv";
    run("Export results", "filepath=[" + table + "] fileformat=[CSV (comma separated)] floatprecision=5 "
        + "saveprotocol=true id=true frame=true x=true y=true sigma=true intensity=true offset=true "
        + "bkgstd=true chi2=true uncertainty_xy=true");
}
needFile(table);
if (pixel_size_nm == "") pixel_size_nm = protocolPixelSize(table);
if (pixel_size_nm == "")
    exit("ZooBridge: no -protocol.txt beside " + table + " says how large a pixel is. Give pixel_size_nm.");

// Learn from it, and localize the dense movie.
job(command, "Train", newArray("recipe", recipe, "output", folder + "/run", "stack", sparse, "table", table,
    "pixel_size_nm", pixel_size_nm, "camera_offset_adu", offset_adu, "electrons_per_adu", electrons_per_adu,
    "em_gain", em_gain, "minutes", minutes, "steps", steps, "change", change));
page = folder + "/run/page.html";
if (File.exists(page)) print("ZooBridge: what the network can do, and for which movies: " + page);
job(command, "Localize", newArray("model", folder + "/run/package", "input", dense, "output", found,
    "pixel_size_nm", pixel_size_nm, "threshold", threshold, "anyway", anyway, "trust", "true"));

// Back into ThunderSTORM, where it can be filtered, corrected for drift and drawn.
if (hasCommand("Import results")) {
    run("Import results", "filepath=[" + found + "] fileformat=[CSV (comma separated)] "
        + "detectmeasurementprotocol=false livepreview=false rawimagestack= startingframe=1 append=false");
} else print("ZooBridge: no ThunderSTORM here to import " + found);
return found;

// Edge of a camera pixel in nm, as ThunderSTORM's protocol beside a table says; "" where it doesn't.
function protocolPixelSize(table) {
    path = replace(slashes(table), "\\.[^./]*$", "") + "-protocol.txt";
    if (!File.exists(path)) return "";
    protocol = String.trim(File.openAsString(path));
    camera = jsonMember(protocol, "cameraSettings");
    size = jsonMember(camera, "pixelSize");
    return size;
}

function needFile(path) {
    if (!File.exists(path)) exit("ZooBridge: there is no file " + path + ".");
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
