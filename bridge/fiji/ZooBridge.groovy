/*
 * zoobridge in a Fiji without Python mode: what all Groovy launchers share.
 *
 * The launchers in scripts/Plugins/ZooBridge load this file once and call
 *
 *     client.run("predict", "ZooBridge Predict", form, values)    a menu entry or a macro's run(...)
 *     client.extend([zooPredict: "predict"])                      functions for macros, Ext.zooPredict
 *
 * The work is done by Python. With the Appose library in Fiji it is one process that stays, keeps
 * models loaded and gets images through shared memory (the wire is described in bridge/worker.py);
 * without Appose it is one process for each request, with files (bridge/fiji/by_file.py). Which
 * Python: the environment variable ZOOBRIDGE_PYTHON, else install.json beside this file.
 *
 * Nothing here knows models, tiles or keys of macros: Python checks them all and says what is wrong.
 * Appose is used by its methods' names only, so that versions 0.9 to 0.12 do, and none.
 */

import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import groovy.transform.CompileStatic
import ij.CompositeImage
import ij.IJ
import ij.ImagePlus
import ij.ImageStack
import ij.Macro
import ij.WindowManager
import ij.gui.GenericDialog
import ij.gui.Roi
import ij.io.FileSaver
import ij.macro.ExtensionDescriptor
import ij.macro.Functions
import ij.macro.Interpreter
import ij.macro.MacroExtension
import ij.measure.ResultsTable
import ij.plugin.BrowserLauncher
import ij.process.ByteProcessor
import ij.process.ColorProcessor
import ij.process.ImageProcessor

import java.awt.Choice
import java.awt.Color
import java.awt.FlowLayout
import java.awt.GraphicsEnvironment
import java.awt.Label
import java.awt.Panel
import java.awt.Rectangle
import java.awt.TextField
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.nio.ShortBuffer
import java.nio.file.Files
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import java.util.concurrent.locks.ReentrantLock

/** The client: one for each Fiji, it owns the Python process. */
class ZooBridge implements Closeable {

    static final String KEPT = "zoobridge.client.instance"
    private static final int PREVIEW_PX = 256
    private static final int PREVIEW_SLICES = 16

    private final File folder
    private final Map typed = [:]  // what the user entered last, by command
    private final Map takesImage = [:]
    private ZooBridgePython python

    ZooBridge() {
        this(fileOf(ZooBridge).parentFile)
    }

    /** @param folder where install.json is */
    ZooBridge(File folder) {
        this.folder = folder
        def before = System.properties.put(KEPT, this)
        if (before != null) before.close()  // this file was replaced while Fiji ran
    }

    /**
     * Do a job for the menu or a macro's run(...): dialog, work, results; a failure is shown, and
     * aborts the macro.
     *
     * @param command words of the job, "predict"
     * @param label   its menu entry
     * @param form    its fields: [name, type, value, choices, help, low, high]
     * @param values  texts by field, as the launcher got them; macro options win over them
     */
    void run(String command, String label, List form, Map values) {
        try {
            Map request = [command: command, values: texts(values), options: Macro.options,
                           asking: ZooBridgeWindows.asking()]
            if (wantsDialog(form, request)) {
                request.active = ZooBridgeWindows.active(request.asking)
                request.values = entered(command, label, form, request.active)
                if (request.values == null) return
            }
            def answer = perform(request)
            if (answer.error) throw ZooBridgeProblem.of(answer.status.error, answer.error)
        } catch (Throwable error) {
            tell(label, ZooBridgeProblem.of(error))
        }
    }

    /** Give the running macro functions: names to command words. */
    void extend(Map functions) {
        Functions.registerExtensions(new ZooBridgeExtension(this, functions))
    }

    /**
     * Do a request and show its results.
     *
     * @param request command, values, options (a macro's text or null); the thread that is "asking", if
     *                not this one, and the image that was "active" when it did
     * @return the worker's answer, and the "titles" of the images shown
     */
    Map perform(Map request) {
        def source = worksOnImage(request.command) ? takeImage(request) : null
        def answer = worker().perform(request, source)
        answer.lines.each { IJ.log(it) }
        answer.titles = ZooBridgeResults.show(answer, source, request.asking ?: Thread.currentThread())
        return answer
    }

    /** Run a job on the middle or the selection of the active image, and show what came out. */
    void preview(String command, Map values, ImagePlus active) {
        Map request = [command: command, values: texts(values) + [output: "", report: ""], active: active]
        def source = takeImage(request)?.middle(PREVIEW_PX, PREVIEW_SLICES)
        if (source == null) throw ZooBridgeProblem.noImage()
        def answer = worker().perform(request, source)
        if (answer.error) throw ZooBridgeProblem.of(answer.status.error, answer.error)
        answer.images*.picture.each { it.title = "Preview of " + it.title }
        ZooBridgeResults.show(answer, source, Thread.currentThread())
    }

    /** Names of the installed models. */
    List<String> models() {
        def answer = worker().perform([command: "models list", values: [:], options: null], null)
        if (answer.error) throw ZooBridgeProblem.of(answer.status.error, answer.error)
        return answer.status.outputs.models*.name
    }

    /** End the Python process. */
    void close() {
        python?.close()
        python = null
    }

    // ---- What is asked for ----

    /** The image that a request works on, taken out of the request where it is named there. */
    private static ZooBridgeSource takeImage(Map request) {
        def options = request.options == null ? null : ZooBridgeOptions.split(request.options)
        def named = options == null ? request.values.input : options.find { it.key == "input" }?.value
        if (!named) {
            def image = request.active ?: ZooBridgeWindows.active(request.asking ?: Thread.currentThread())
            return image == null ? null : new ZooBridgeSource(image)
        }
        def image = WindowManager.getImage(named)
        if (image == null) return null  // a file, then
        if (options == null) request.values.remove("input")
        else request.options = options.findAll { it.key != "input" }*.text.join(" ")
        return new ZooBridgeSource(image)
    }

    /** Tell whether a job works on an open image. */
    boolean worksOnImage(String command) {
        if (!takesImage.containsKey(command)) takesImage[command] = worker().takesImage(command)
        return takesImage[command]
    }

    private static boolean wantsDialog(List form, Map request) {
        def isGiven = form.any { request.values[it.name] != null && request.values[it.name] != it.value }
        return form && !isGiven && request.options == null && !IJ.isMacro() && !GraphicsEnvironment.headless
    }

    private Map entered(String command, String label, List form, ImagePlus active) {
        def dialog = new ZooBridgeDialog(this, command, label, form, typed[command] ?: [:], active)
        def values = dialog.ask()
        if (values != null) typed[command] = values
        return values
    }

    private static Map texts(Map values) {
        return values.collectEntries { key, value -> [key as String, value == null ? "" : value as String] }
    }

    // ---- Which Python ----

    private synchronized ZooBridgePython worker() {
        def path = pythonPath()
        if (python != null && python.path != path) close()
        if (python == null) {
            def appose = ZooBridgeWorker.findAppose()
            python = appose ? new ZooBridgeWorker(path, appose) : new ZooBridgeProcess(path)
        }
        return python
    }

    private String pythonPath() {
        def named = System.getenv("ZOOBRIDGE_PYTHON")
        def settings = new File(folder, "install.json")
        if (!named && settings.isFile()) {
            try {
                named = new JsonSlurper().parse(settings, "UTF-8").python
            } catch (RuntimeException error) {
                throw new ZooBridgeProblem(settings.path, "cannot be read ($error.message)",
                    "what zoobridge fiji install writes", "Run zoobridge fiji install again.")
            }
        }
        if (!named) {
            throw new ZooBridgeProblem("ZooBridge", "no Python is known", "",
                "In a terminal, run zoobridge fiji install with this Fiji's folder.")
        }
        if (!new File(named).canExecute() || !new File(named).isFile()) {
            throw new ZooBridgeProblem(named, "there is no such program", "a Python with zoobridge",
                "In a terminal, run zoobridge fiji install with this Fiji's folder.")
        }
        return named
    }

    private static File fileOf(Class type) {
        return new File(type.protectionDomain.codeSource.location.toURI())
    }

    // ---- Failures ----

    /** Say why it failed, in a dialog or in the log, and end the macro that asked for it. */
    private static void tell(String label, ZooBridgeProblem problem) {
        def isMacro = Interpreter.instance != null
        def text = problem.message.replaceAll(/(.{60,90}?)\s/, '$1\n')
        if (problem.kind == "Cancelled") {
            IJ.showStatus("$label: stopped on request")
        } else if (GraphicsEnvironment.headless || IJ.instance == null) {
            IJ.log("$label: $problem.message")
        } else if (!isMacro) {
            IJ.showMessage(label, text)
        }
        if (isMacro) {
            // Macro.abort alone ends no macro. This tells the interpreter; without a display its own
            // dialog then fails, when all is done. With the macro's options it would not be shown.
            [Thread.currentThread(), ZooBridgeWindows.asking()].each { Macro.setOptions(it, null) }
            try {
                IJ.error(label, "$label: $text")
            } catch (RuntimeException ignored) {
            }
            cancelMacro()
        }
        Macro.abort()
    }

    /**
     * Let ImageJ leave the macro as soon as its command is over, so that runMacro tells of it. Otherwise
     * it looks for the end of loops, and finds errors there that are none.
     */
    private static void cancelMacro() {
        try {
            def running = IJ.getDeclaredField("macroInterpreter")
            running.accessible = true
            running.set(null, null)
        } catch (NoSuchFieldException ignored) {  // older ones leave it anyway
        }
        if (IJ.instance == null) Interpreter.batchMode = true
    }
}

/** Something that a user can act on, in the four parts of bridge/errors.py. */
class ZooBridgeProblem extends RuntimeException {

    final String kind
    final Map parts

    ZooBridgeProblem(String what, String found, String expected = "", String remedy = "",
                     String kind = "FijiError") {
        super(sentences(what, found, expected, remedy))
        this.kind = kind
        this.parts = [kind: kind, what: what, found: found, expected: expected, remedy: remedy]
    }

    static ZooBridgeProblem of(Map error, String otherwise) {
        if (error == null) return new ZooBridgeProblem("ZooBridge", otherwise)
        return new ZooBridgeProblem(error.what, error.found, error.expected, error.remedy, error.kind)
    }

    static ZooBridgeProblem noImage() {
        return new ZooBridgeProblem("input", "no image is open", "an open image", "Open one first.")
    }

    /** What a user is told of anything thrown; the trace of what nobody foresaw is printed. */
    static ZooBridgeProblem of(Throwable error) {
        if (error instanceof ZooBridgeProblem) return error
        if (error instanceof InterruptedException) return stopped()
        if (error instanceof OutOfMemoryError) {
            return new ZooBridgeProblem("ImageJ", "its memory doesn't suffice for the image", "",
                "Close images, or give it more in Edit > Options > Memory & Threads.", "MemoryShortage")
        }
        error.printStackTrace()
        return new ZooBridgeProblem("ZooBridge", error as String, "",
            "This is a bug; please report it with what Window > Console shows.", "UnexpectedError")
    }

    static ZooBridgeProblem stopped() {
        return new ZooBridgeProblem("cancelled", "stopped on request", "", "", "Cancelled")
    }

    private static String sentences(String what, String found, String expected, String remedy) {
        def all = ["$what: $found"]
        if (expected) all << "Expected $expected"
        if (remedy) all << remedy
        return all.collect { it =~ /[.!?]$/ ? it : it + "." }.join(" ")
    }
}

/** ImageJ's macro options, taken apart as bridge/jobs/macro_words.py does; errors are left to it. */
class ZooBridgeOptions {

    /** @return [key, value, text] of each piece; the texts together say the same as the whole */
    static List<Map> split(String options) {
        def pieces = []
        def rest = options.trim()
        while (rest) {
            def end = endOfPiece(rest)
            def text = rest.substring(0, end)
            def sign = text.indexOf("=")
            def value = sign < 0 ? null : text.substring(sign + 1)
            if (value =~ /(?s)^\[.*\]$|^'.*'$/) value = value.substring(1, value.length() - 1)
            pieces << [key: sign < 0 ? text : text.substring(0, sign), value: value, text: text]
            rest = rest.substring(end).trim()
        }
        return pieces
    }

    private static int endOfPiece(String rest) {
        int start = 0
        while (start < rest.length() && !(rest[start] in ["=", " ", "\t", "\n"])) start++
        if (start == rest.length() || rest[start] != "=") return start
        start++
        if (rest.startsWith("[", start)) return endOfBrackets(rest, start)
        def end = rest.startsWith("'", start) ? rest.indexOf("'", start + 1) + 1 : rest.indexOf(" ", start)
        return end > 0 ? end : rest.length()
    }

    private static int endOfBrackets(String rest, int start) {
        int depth = 0
        for (int i = start; i < rest.length(); i++) {
            if (rest[i] == "[") depth++
            if (rest[i] == "]" && --depth == 0) return i + 1
        }
        return rest.length()
    }
}

// ---- Images ----

/** Which image is active: in a macro without windows that is kept by thread. */
class ZooBridgeWindows {

    /** The thread whose active image counts: ImageJ2 runs a script in another than its macro. */
    static Thread asking() {
        try {
            def waiting = IJ.getField("_hooks").get(null)?.threadAncestors?.toList()
            return waiting ? waiting[0] : Thread.currentThread()
        } catch (NoSuchFieldException ignored) {
            return Thread.currentThread()
        }
    }

    static ImagePlus active(Thread asking) {
        if (!asking.is(Thread.currentThread())) {
            WindowManager.setTempCurrentImage(null)  // an earlier script may have left it on this thread
        }
        def image = imagesByThread()[asking] ?: WindowManager.currentImage
        return image?.getProcessor() == null ? null : image  // it may have been closed
    }

    /** Show an image, and make it the active one of whoever asked. */
    static void show(ImagePlus image, Thread asking) {
        image.show()
        if (!Interpreter.isBatchMode()) return
        WindowManager.setTempCurrentImage(null)
        imagesByThread()[asking] = image
    }

    private static Map imagesByThread() {
        def field = WindowManager.getDeclaredField("tempImageTable")
        field.accessible = true
        return field.get(null)
    }
}

/** Units of length and time as ImageJ's users spell them, as in bridge/images/units.py. */
class ZooBridgeUnits {

    private static final Map NM = spelled([
        "0.001": "pm picometer", "0.1": "\u00e5 a angstrom", "1": "nm nanometer nanometers nanometer(s)",
        "1000": "um \u00b5m micron microns micrometer micrometre micrometers micrometres",
        "1000000": "mm millimeter millimetre millimeters millimetres",
        "10000000": "cm centimeter centimetre centimeters centimetres",
        "1000000000": "m meter metre meters metres", "25400000": "in inch inches"])
    private static final Map SECONDS = spelled([
        "1E-9": "ns", "0.000001": "us \u00b5s usec", "0.001": "ms msec", "1": "s sec second seconds",
        "60": "min minute minutes", "3600": "h hour hours"])

    static BigDecimal nm(String unit) { NM[name(unit)] }

    /** A length in nm, or null where its unit is none of length. */
    static Double lengthInNm(double value, String unit) { times(value, NM[name(unit)]) }

    static Double timeInSeconds(double value, String unit) { times(value, SECONDS[name(unit)]) }

    /** A length, given in nm, in another unit. */
    static double lengthIn(String unit, Number length) {
        return (new BigDecimal(length as String) / nm(unit)).doubleValue()
    }

    private static Double times(double value, BigDecimal factor) {
        if (factor == null || !(value > 0) || Double.isInfinite(value)) return null
        return (new BigDecimal(value as String) * factor).doubleValue()
    }

    private static Map spelled(Map table) {
        return table.collectMany { factor, names -> names.split(" ").collect { [it, factor as BigDecimal] } }
            .collectEntries()
    }

    private static String name(String unit) {
        return (unit ?: "").trim().replace("\\u00B5", "\u00b5").replace("\u03bc", "\u00b5").toLowerCase(Locale.ROOT)
    }
}

/** An open image, the rectangle around its selection, and the slices and frames wanted of it. */
class ZooBridgeSource {

    final ImagePlus image
    final Rectangle box
    final IntRange slices
    final IntRange frames
    private final boolean isSigned

    ZooBridgeSource(ImagePlus image) {
        this(image, selected(image), 1..image.NSlices, 1..image.NFrames)
    }

    private ZooBridgeSource(ImagePlus image, Rectangle box, IntRange slices, IntRange frames) {
        this.image = image
        this.box = box
        this.slices = slices
        this.frames = frames
        this.isSigned = image.bitDepth == 16 && image.calibration.isSigned16Bit()
    }

    /** What a preview needs: a selection or the middle, slices around the one on display, its frame. */
    ZooBridgeSource middle(int edge, int depth) {
        def hasSelection = image.roi?.isArea()
        int w = hasSelection ? box.width : Math.min(box.width as int, edge)
        int h = hasSelection ? box.height : Math.min(box.height as int, edge)
        int x = box.x + ((box.width - w) / 2 as int)
        int y = box.y + ((box.height - h) / 2 as int)
        int first = Math.max(1, Math.min(image.slice - depth.intdiv(2), image.NSlices - depth + 1))
        int last = Math.min(first + depth - 1, image.NSlices)
        return new ZooBridgeSource(image, new Rectangle(x, y, w, h), first..last, image.frame..image.frame)
    }

    String getDtype() {
        return isSigned || image.bitDepth == 32 ? "float32" : image.bitDepth == 16 ? "uint16" : "uint8"
    }

    /** Sizes (t, z, c, y, x); RGB counts as three channels. */
    int[] getShape() {
        int channels = image.NChannels * (image.bitDepth == 24 ? 3 : 1)
        return [frames.size(), slices.size(), channels, box.height as int, box.width as int] as int[]
    }

    long getBytes() {
        return shape.inject(dtype == "float32" ? 4L : dtype == "uint16" ? 2L : 1L) { product, n -> product * n }
    }

    /** What Python is told of it. */
    Map getDescription() {
        def calibration = image.calibration
        def size = [x: ZooBridgeUnits.lengthInNm(calibration.pixelWidth, calibration.XUnit),
                    y: ZooBridgeUnits.lengthInNm(calibration.pixelHeight, calibration.YUnit)]
        if (image.NSlices > 1) size.z = ZooBridgeUnits.lengthInNm(calibration.pixelDepth, calibration.ZUnit)
        def interval = ZooBridgeUnits.timeInSeconds(calibration.frameInterval, calibration.timeUnit)
        return [title: image.title, pixel_size_nm: size.findAll { it.value != null },
                frame_interval_s: image.NFrames > 1 && interval ? interval : 0.0]
    }

    /** Write all planes behind each other, channels fastest, then slices, then frames. */
    void copyTo(ByteBuffer target) {
        target.order(ByteOrder.nativeOrder())
        def stack = image.getStack()
        for (int t : frames) for (int z : slices) for (int c = 1; c <= image.NChannels; c++) {
            for (plane in planes(stack, image.getStackIndex(c, z, t))) {
                ZooBridgePixels.put(plane, image.width, box, target)
            }
        }
    }

    /** The same as an image of its own. */
    ImagePlus copy() {
        def stack = new ImageStack(box.width as int, box.height as int)
        for (int t : frames) for (int z : slices) for (int c = 1; c <= image.NChannels; c++) {
            def plane = processor(image.getStack(), image.getStackIndex(c, z, t))
            plane.setRoi(box)
            stack.addSlice(plane.crop())
        }
        def copy = new ImagePlus(image.title, stack)
        copy.setDimensions(image.NChannels, slices.size(), frames.size())
        copy.setOpenAsHyperStack(stack.size() > 1)
        copy.calibration = image.calibration.copy()
        if (isSigned) copy.calibration.disableDensityCalibration()
        return copy
    }

    private List planes(ImageStack stack, int index) {
        def plane = processor(stack, index)
        if (plane instanceof ColorProcessor) return (1..3).collect { plane.getChannel(it, null) }*.pixels
        return [plane.pixels]
    }

    private ImageProcessor processor(ImageStack stack, int index) {
        // the plane on display of a virtual stack may have edits that the stack doesn't know
        def isShown = stack.isVirtual() && index == image.currentSlice
        def plane = isShown ? image.getProcessor() : index <= stack.size() ? stack.getProcessor(index) : null
        if (plane?.pixels == null) throw closed(image)
        if (!isSigned) return plane
        def signed = plane.duplicate()
        signed.calibrationTable = image.calibration.CTable
        return signed.convertToFloatProcessor()
    }

    /** The rectangle around an image's selection; lines and points select no area, and count as none. */
    private static Rectangle selected(ImagePlus image) {
        def whole = new Rectangle(0, 0, image.width, image.height)
        if (image.getProcessor() == null || whole.isEmpty()) throw closed(image)
        Roi roi = image.roi
        if (roi == null || !roi.isArea()) return whole
        def bounds = roi.bounds
        def box = bounds.intersection(whole)
        if (box.isEmpty()) {
            throw new ZooBridgeProblem(image.title, "the selection of ${bounds.width as int} x " +
                "${bounds.height as int} pixels at (${bounds.x as int}, ${bounds.y as int}) holds no pixel " +
                "of the image", "a selection with an area, or none",
                "Remove it with Edit > Selection > Select None, or draw another.", "ImageError")
        }
        return box
    }

    private static ZooBridgeProblem closed(ImagePlus image) {
        return new ZooBridgeProblem(image.title, "the image has been closed", "an open image",
            "Open it again.", "ImageError")
    }
}

/** The only loops over pixels: whole rows or planes at once. */
@CompileStatic
class ZooBridgePixels {

    /** Append the rectangle of a plane (byte[], short[] or float[]) to a buffer. */
    static void put(Object plane, int width, Rectangle box, ByteBuffer target) {
        boolean isWhole = box.width == width
        int rows = isWhole ? 1 : box.height as int
        int length = isWhole ? width * (box.height as int) : box.width as int
        int start = (box.y as int) * width + (box.x as int)
        for (int row = 0; row < rows; row++) {
            int from = start + row * width
            if (plane instanceof byte[]) {
                target.put((byte[]) plane, from, length)
            } else if (plane instanceof short[]) {
                target.asShortBuffer().put((short[]) plane, from, length)
                target.position(target.position() + 2 * length)
            } else {
                target.asFloatBuffer().put((float[]) plane, from, length)
                target.position(target.position() + 4 * length)
            }
        }
    }

    /** Take the next plane of n pixels off a buffer. */
    static Object take(ByteBuffer source, String dtype, int n) {
        if (dtype == "uint8") {
            byte[] plane = new byte[n]
            source.get(plane)
            return plane
        }
        if (dtype == "uint16") {
            short[] plane = new short[n]
            source.asShortBuffer().get(plane)
            source.position(source.position() + 2 * n)
            return plane
        }
        float[] plane = new float[n]
        source.asFloatBuffer().get(plane)
        source.position(source.position() + 4 * n)
        return plane
    }
}

/** What comes back: images, tables, pages. */
class ZooBridgeResults {

    private static final int MOST_COMPOSITE_CHANNELS = 7  // ImageJ draws no more at once

    /** Show all of an answer, delete what was temporary, and give the titles of images and tables. */
    static List<String> show(Map answer, ZooBridgeSource source, Thread asking) {
        def titles = []
        answer.images.each { about ->
            ImagePlus image = about.picture
            calibrate(image, about, source)
            if (source != null) keepOverlay(source, image)
            ZooBridgeWindows.show(image, asking)
            titles << image.title
        }
        try {
            answer.files.each { open(new File(it as String), titles, asking) }
        } finally {
            def pages = answer.files.findAll { it.toLowerCase().endsWith(".html") }
            answer.temporary.findAll { folder -> !pages.any { it.startsWith(folder) } }
                .each { new File(it as String).deleteDir() }
        }
        return titles
    }

    /** Make an image of planes (t, z, c, y, x). */
    static ImagePlus image(String title, ByteBuffer planes, String dtype, int[] shape) {
        def (int frames, int slices, int channels, int height, int width) = shape as List
        planes.order(ByteOrder.nativeOrder())
        def stack = new ImageStack(width, height)
        for (int i = 0; i < frames * slices * channels; i++) {
            stack.addSlice(null, ZooBridgePixels.take(planes, dtype, width * height))
        }
        def image = new ImagePlus(title, stack)
        image.setDimensions(channels, slices, frames)
        image.setOpenAsHyperStack(channels * Math.max(slices, frames) > 1 && stack.size() > 1)
        def isComposite = channels > 1 && channels <= MOST_COMPOSITE_CHANNELS
        return isComposite ? new CompositeImage(image, IJ.COMPOSITE) : image
    }

    private static void calibrate(ImagePlus image, Map about, ZooBridgeSource source) {
        def calibration = image.calibration
        def size = about.pixel_size_nm ?: [:]
        if (size) {
            def unit = source?.image?.calibration?.unit
            if (ZooBridgeUnits.nm(unit) == null) unit = "micron"
            calibration.unit = unit
            if (size.x) calibration.pixelWidth = ZooBridgeUnits.lengthIn(unit, size.x)
            if (size.y) calibration.pixelHeight = ZooBridgeUnits.lengthIn(unit, size.y)
            if (size.z) calibration.pixelDepth = ZooBridgeUnits.lengthIn(unit, size.z)
        }
        if (about.frame_interval_s) {
            calibration.frameInterval = about.frame_interval_s as double
            calibration.timeUnit = "sec"
        }
        if (about.display) {
            for (int c = image.NChannels; c >= 1; c--) {
                image.setPositionWithoutUpdate(c, 1, 1)
                image.setDisplayRange(about.display[0] as double, about.display[1] as double)
            }
        }
    }

    /** Copy the overlay, scaled, onto a result with the same field of view. */
    private static void keepOverlay(ZooBridgeSource source, ImagePlus result) {
        def overlay = source.image.overlay
        double scale = result.width / source.box.width
        if (overlay == null || result.height != scale * source.box.height) return
        def copy = overlay.duplicate()
        copy.translate(-source.box.x as double, -source.box.y as double)
        if (scale != 1) copy.scale(scale, scale)
        result.overlay = copy
    }

    private static void open(File file, List titles, Thread asking) {
        def ending = file.name.toLowerCase()
        def title = file.name.replaceFirst(/\.[^.]*$/, "")
        if (ending.endsWith(".csv")) {
            ResultsTable.open(file.path).show(title)
            titles << title
        } else if (ending.endsWith(".html")) {
            if (GraphicsEnvironment.headless) IJ.log("See $file")
            else BrowserLauncher.openURL(file.toURI() as String)
        } else {
            def image = IJ.openImage(file.path)
            if (image == null) {
                IJ.log("Warning: ImageJ cannot open $file.name.")
                return
            }
            if (image.getStack().isVirtual()) image = image.duplicate()  // its file is about to be deleted
            image.title = title
            ZooBridgeWindows.show(image, asking)
            titles << title
        }
    }
}

// ---- Python ----

/** A Python that does requests. */
abstract class ZooBridgePython implements Closeable {

    final String path

    ZooBridgePython(String path) {
        this.path = path
    }

    /** Tell whether a job works on an open image. */
    abstract boolean takesImage(String command)

    /**
     * Do a request.
     *
     * @param request command, values, options
     * @param source  the open image, or null
     * @return the answer of bridge/worker.py, with a "picture" in each of its images
     */
    abstract Map perform(Map request, ZooBridgeSource source)

    protected static String json(Map request, ZooBridgeSource source) {
        return JsonOutput.toJson([command: request.command, values: request.values ?: [:],
                                  options: request.options, image: source?.description])
    }

    /** Say why a Python cannot do it, from what it said last. */
    protected ZooBridgeProblem cause(String said) {
        def lines = (said ?: "").readLines().findAll { it.trim() }
        if (said =~ /(?i)unknown option:? -P/) {
            return new ZooBridgeProblem(path, "this Python is too old", "Python 3.11 or newer with zoobridge",
                "In a terminal, run zoobridge fiji install with this Fiji's folder.", "PythonError")
        }
        def missing = said =~ /No module named '?(bridge|appose)\b/
        if (missing.find()) {
            def name = missing.group(1) == "bridge" ? "zoobridge" : "appose"
            return new ZooBridgeProblem(path, "this Python has no package $name", "",
                "In a terminal, run: \"$path\" -m pip install $name", "PythonError")
        }
        return new ZooBridgeProblem(path, "Python has ended" +
            (lines ? "; its last words: " + lines.takeRight(5).join(" | ") : " without a word"), "",
            "The next run starts it anew. If it ends again, run zoobridge doctor in a terminal.", "PythonError")
    }
}

/** One Python process that stays, behind Appose. */
class ZooBridgeWorker extends ZooBridgePython {

    private static final String PREFIX = "org.apposed.appose."
    private static final String MAIN = "import appose.python_worker; appose.python_worker.main()"
    private static final String PERFORM = "from bridge.worker import perform\nperform(task, request, pixels)"
    private static final List ENDED = ["COMPLETION", "CANCELATION", "FAILURE", "CRASH"]
    private static final long MOST_BYTES = Integer.MAX_VALUE
    private static final int LOOK_MS = 25

    private final ClassLoader appose
    private final ReentrantLock busy = new ReentrantLock()
    private Object service

    ZooBridgeWorker(String path, ClassLoader appose) {
        super(path)
        this.appose = appose
    }

    /** The class loader that has Appose, or null. */
    static ClassLoader findAppose() {
        def loaders = [ZooBridgeWorker.classLoader, IJ.classLoader, Thread.currentThread().contextClassLoader]
        return loaders.find { loader ->
            try {
                loader?.loadClass(PREFIX + "Service") != null
            } catch (ClassNotFoundException | LinkageError ignored) {
                false
            }
        }
    }

    @Override
    boolean takesImage(String command) {
        def script = "from bridge.jobs.desk import takes_image\ntakes_image(tuple(command.split()))"
        return ask(script, [command: command]).result
    }

    @Override
    Map perform(Map request, ZooBridgeSource source) {
        return perform(request, source, PERFORM)
    }

    /** Do a request with a script, which finds it in `request` and `pixels`. */
    Map perform(Map request, ZooBridgeSource source, String script) {
        def pixels = null
        def outputs = [:]
        try {
            pixels = source == null ? null : share(source)
            outputs = ask(script, [request: json(request, source), pixels: pixels])
            def answer = new JsonSlurper().parseText(outputs.answer as String)
            answer.images.each { it.picture = image(it.title, outputs[it.key]) }
            return answer
        } finally {
            pixels?.close()
            outputs.values().each { if (it instanceof AutoCloseable) unlink(it) }
        }
    }

    @Override
    void close() {
        def ended = service
        service = null
        ended?.kill()
    }

    /** Copy an image's planes into shared memory. */
    private Object share(ZooBridgeSource source) {
        refuseTooLarge(source)
        def order = Class.forName(PREFIX + 'NDArray$Shape$Order', true, appose).C_ORDER
        def shape = Class.forName(PREFIX + 'NDArray$Shape', true, appose).newInstance([order, source.shape] as Object[])
        def dtype = Class.forName(PREFIX + 'NDArray$DType', true, appose).fromLabel(source.dtype)
        def array = Class.forName(PREFIX + "NDArray", true, appose).newInstance([dtype, shape] as Object[])
        try {
            source.copyTo(array.buffer())
        } catch (InternalError fault) {  // Java's word for memory that isn't there after all
            array.close()
            throw memoryFull(source.bytes)
        } catch (Throwable error) {
            array.close()
            throw error
        }
        return array
    }

    private static void refuseTooLarge(ZooBridgeSource source) {
        if (source.bytes > MOST_BYTES) {
            throw new ZooBridgeProblem(source.image.title, "it has ${source.bytes >> 20} MiB", "at most 2047 MiB",
                "Save it, and give the file's path as input.", "ImageError")
        }
        def shared = new File("/dev/shm")
        if (shared.isDirectory() && shared.usableSpace < source.bytes) throw memoryFull(source.bytes)
    }

    private static ZooBridgeProblem memoryFull(long bytes) {
        return new ZooBridgeProblem("/dev/shm", "the shared memory is full", "${(bytes >> 20) + 1} MiB for the image",
            "Save the image, and give the file's path as input; or make /dev/shm larger.", "MemoryShortage")
    }

    private static ImagePlus image(String title, Object array) {
        def order = array.shape().order().declaringClass.C_ORDER
        return ZooBridgeResults.image(title, array.buffer(), array.dType().label(), array.shape().toIntArray(order))
    }

    /** Free shared memory that Python made: Appose leaves it there otherwise. */
    private static void unlink(Object array) {
        array.shm().unlinkOnClose(true)
        array.close()
    }

    // ---- One task ----

    /** Run a script in Python, and give its outputs. */
    private Map ask(String script, Map inputs) {
        busy.lockInterruptibly()
        try {
            start()
            def ended = new CountDownLatch(1)
            def event = null
            def task = service.task(script, inputs)
            try {
                task.listen { it ->
                    event = it
                    if (it.responseType.name() in ENDED) ended.countDown()
                }
            } catch (IllegalStateException alreadyOver) {  // Python ended before it was asked anything
                return outputs(task)
            }
            IJ.resetEscape()
            task.start()
            await(task, ended) { event }
            return outputs(task)
        } finally {
            busy.unlock()
        }
    }

    /** Wait for a task, show its progress, and stop it when the user presses Esc; twice ends Python. */
    private void await(Object task, CountDownLatch ended, Closure lastEvent) {
        def shown = null
        def isStopping = false
        try {
            while (!ended.await(LOOK_MS, TimeUnit.MILLISECONDS)) {
                def event = lastEvent()
                if (event != null && !event.is(shown)) show(shown = event)
                if (IJ.escapePressed()) {
                    IJ.resetEscape()
                    if (isStopping) service.kill()
                    else task.cancel()
                    isStopping = true
                    IJ.showStatus("ZooBridge: stopping; Esc again ends Python at once")
                }
                if (!service.isAlive() && !ended.await(2, TimeUnit.SECONDS)) return  // nobody will tell us
            }
        } catch (InterruptedException error) {
            task.cancel()
            throw error
        } finally {
            IJ.showProgress(1.0d)
        }
        if (isStopping && task.status.name() != "COMPLETE") throw forgetting(ZooBridgeProblem.stopped())
    }

    private static void show(Object event) {
        if (event.maximum > 0) IJ.showProgress(event.current / event.maximum as double)
        if (event.message) IJ.showStatus("ZooBridge: " + event.message)
    }

    private Map outputs(Object task) {
        def status = task.status.name()
        if (status == "COMPLETE") return task.outputs
        if (status == "CANCELED") throw ZooBridgeProblem.stopped()
        def said = status == "FAILED" ? task.error : service.errorLines().collect().join("\n")
        if (status != "FAILED" || said =~ /No module named '?bridge\b/) throw forgetting(cause(said))
        IJ.log(said)
        def last = (said ?: "").readLines().findAll { it.trim() }
        throw new ZooBridgeProblem("ZooBridge", last ? last.last() : "the worker failed", "",
            "This is a bug; please report it with the text in the Log window.", "UnexpectedError")
    }

    /** End a Python that is of no more use, and pass the problem on. */
    private ZooBridgeProblem forgetting(ZooBridgeProblem problem) {
        close()
        return problem
    }

    // ---- The process ----

    private void start() {
        if (service != null && service.isAlive()) return
        if (service != null) IJ.log("ZooBridge: Python had ended; it is started anew.")
        IJ.showStatus("ZooBridge: starting Python")
        def made = Class.forName(PREFIX + "Service", true, appose)
            .newInstance([new File(System.getProperty("user.dir")), [path, "-P", "-c", MAIN] as String[]] as Object[])
        made.init("import numpy")
        // Threads are daemons if their maker is one; others would keep Java from ending.
        def failure = null
        def starter = new Thread({
            try {
                made.start()
            } catch (Exception error) {
                failure = error
            }
        })
        starter.daemon = true
        starter.start()
        starter.join()
        if (failure != null) {
            throw new ZooBridgeProblem(path, "this program does not start (${failure.cause?.message ?: failure.message})",
                "a Python with zoobridge", "In a terminal, run zoobridge fiji install with this Fiji's folder.",
                "PythonError")
        }
        service = made
    }
}

/** A Python process for each request, with files, where Fiji has no Appose. */
class ZooBridgeProcess extends ZooBridgePython {

    private static final List MODULE = ["-P", "-m", "bridge.fiji.by_file"]
    private static final int LOOK_MS = 50
    private static final int PATIENCE_S = 30

    private Process process

    ZooBridgeProcess(String path) {
        super(path)
    }

    @Override
    boolean takesImage(String command) {
        return true  // told by the answer; a file that nobody reads costs little
    }

    @Override
    Map perform(Map request, ZooBridgeSource source) {
        def folder = Files.createTempDirectory("zoobridge-").toFile()
        try {
            def asked = new JsonSlurper().parseText(json(request, source))
            if (source != null) {
                asked.image.path = new File(folder, "input.tif").path
                save(source.copy(), asked.image.path)
            }
            def file = new File(folder, "request.json")
            file.setText(JsonOutput.toJson(asked), "UTF-8")
            def answer = ask(file)
            answer.images.each { about ->
                about.picture = IJ.openImage(about.path)
                about.picture.title = about.title
            }
            return answer
        } finally {
            folder.deleteDir()
        }
    }

    @Override
    void close() {
        process?.destroy()
    }

    private static void save(ImagePlus image, String file) {
        def saver = new FileSaver(image)
        def isSaved = image.stackSize > 1 ? saver.saveAsTiffStack(file) : saver.saveAsTiff(file)
        if (!isSaved) throw new ZooBridgeProblem(file, "the image cannot be saved", "", "Is the disk full?")
    }

    /** Run Python until it gives its answer, its last line. */
    private Map ask(File request) {
        IJ.resetEscape()
        process = new ProcessBuilder([path] + MODULE + [request.path]).start()
        process.outputStream.close()
        def lines = [].asSynchronized()
        def errors = [].asSynchronized()
        def readers = [Thread.startDaemon { process.inputStream.eachLine("UTF-8") { lines << it } },
                       Thread.startDaemon { process.errorStream.eachLine("UTF-8") { errors << it } }]
        def stopping = 0L
        while (!process.waitFor(LOOK_MS, TimeUnit.MILLISECONDS)) {
            show(lines ? lines.last() : null)
            if (IJ.escapePressed() && !stopping) {
                stopping = System.currentTimeMillis()
                process.destroy()
            }
            if (stopping && System.currentTimeMillis() - stopping > 1000 * PATIENCE_S) process.destroyForcibly()
        }
        readers*.join()
        IJ.showProgress(1.0d)
        def said = lines ? parsed(lines.last()) : null
        if (said?.status != null) return said
        throw stopping ? ZooBridgeProblem.stopped() : cause(errors.join("\n"))
    }

    private static void show(String line) {
        def progress = line == null ? null : parsed(line)?.progress
        if (progress == null) return
        if (progress[1]) IJ.showProgress(progress[0] / progress[1] as double)
        IJ.showStatus("ZooBridge: " + progress[2])
    }

    private static Object parsed(String line) {
        try {
            return new JsonSlurper().parseText(line)
        } catch (RuntimeException ignored) {
            return null  // somebody's chatter
        }
    }
}

// ---- Macro functions ----

/** Ext.zooPredict(options, status) and so on: they give a text, and the JSON status in `status`. */
class ZooBridgeExtension implements MacroExtension {

    private final ZooBridge client
    private final Map functions

    ZooBridgeExtension(ZooBridge client, Map functions) {
        this.client = client
        this.functions = functions
    }

    @Override
    ExtensionDescriptor[] getExtensionFunctions() {
        return functions.keySet().collect {
            ExtensionDescriptor.newDescriptor(it as String, this, ARG_STRING, ARG_STRING + ARG_OUTPUT)
        } as ExtensionDescriptor[]
    }

    /** @return title of what was shown, else the first output, else a count; nothing for a failure */
    @Override
    String handleExtension(String name, Object[] arguments) {
        String command = functions[name]
        def began = System.currentTimeMillis()
        try {
            def answer = client.perform([command: command, values: [:], options: arguments[0] ?: ""])
            arguments[1][0] = JsonOutput.toJson(answer.status)
            return answer.error ? "" : summary(answer)
        } catch (Throwable error) {
            def problem = ZooBridgeProblem.of(error)
            arguments[1][0] = JsonOutput.toJson([zoobridge: 1, ok: false, job: command, error: problem.parts,
                warnings: [], seconds: (System.currentTimeMillis() - began) / 1000.0])
            return ""
        }
    }

    private static String summary(Map answer) {
        if (answer.titles) return answer.titles[0]
        def outputs = (answer.status.outputs ?: [:]).values()
        def texts = outputs.collect { it instanceof List && it ? it[0] : it }.findAll { it instanceof String }
        def counts = outputs.findAll { it instanceof List }.collect { it.size() as String }
        return (texts + counts + ["0"])[0]
    }
}

// ---- The dialog ----

/** One dialog for a job's fields; its labels are the keys of macros, so that the recorder writes them. */
class ZooBridgeDialog {

    private static final int MOST_ROWS = 12
    private static final int ROWS_BEFORE_MORE = 9
    private static final int TEXT_COLUMNS = 24

    private final ZooBridge client
    private final String command
    private final String label
    private final List form
    private final Map before
    private final GenericDialog dialog
    private final ImagePlus active  // previews become active, too
    private final Map<String, Object> entries = [:]  // the component of each field
    private Label complaint
    private volatile boolean isPreviewing

    ZooBridgeDialog(ZooBridge client, String command, String label, List form, Map before, ImagePlus active) {
        this.client = client
        this.command = command
        this.label = label
        this.form = form
        this.before = before
        this.active = active
        this.dialog = new GenericDialog(label)
    }

    /** Show it; gives texts by field, or null if the user thought better of it. */
    Map ask() {
        def isLong = form.size() > MOST_ROWS
        form.take(isLong ? ROWS_BEFORE_MORE : form.size()).each { addRow(it) }
        if (isLong) addHiddenRows(form.drop(ROWS_BEFORE_MORE))
        dialog.addMessage(" " * 80, null, Color.RED)
        complaint = dialog.message
        if (command == "predict") dialog.addButton("Preview", { preview() })
        dialog.addHelp(help())
        def values = null
        dialog.addDialogListener { source, event ->
            // without an event: when it opens and at its end, the only time that the recorder listens
            if (event == null) values = form.collectEntries { [it.name, next(it)] }
            complain()
        }
        dialog.showDialog()
        return dialog.wasCanceled() ? null : values
    }

    /** Read a field the way that the recorder notices. */
    private String next(Map row) {
        if (row.type == "flag") return dialog.nextBoolean as String
        return row.type == "choice" ? dialog.nextChoice : dialog.nextString
    }

    /** Read a field without the recorder noticing. */
    private String now(Map row) {
        def entry = entries[row.name]
        if (row.type == "flag") return entry.state as String
        return row.type == "choice" ? entry.selectedItem : entry.text
    }

    // ---- Rows ----

    private void addRow(Map row) {
        String value = before.containsKey(row.name) ? before[row.name] : row.value
        switch (row.type) {
            case "flag":
                dialog.addCheckbox(row.name, value == "true")
                entries[row.name] = dialog.checkboxes.last()
                return
            case "choice":
                dialog.addChoice(row.name, row.choices as String[], value)
                entries[row.name] = dialog.choices.last()
                return
            case "path":
                dialog.addFileField(row.name, value, TEXT_COLUMNS)
                break
            default:
                dialog.addStringField(row.name, value, TEXT_COLUMNS)
        }
        entries[row.name] = dialog.stringFields.last()
        if (row.name == "model") addChoices(entries.model, "installed models", client.models())
        if (row.name == "input" && client.worksOnImage(command)) {
            addChoices(entries.input, "active image", (WindowManager.imageTitles as List).unique())
        }
    }

    /** A list beside a text: what is chosen is written into the text, which is what is recorded. */
    private void addChoices(TextField text, String nothing, List<String> names) {
        def list = new Choice()
        list.add(nothing)
        names.each { list.add(it) }
        if (text.text in names) list.select(text.text)
        list.addItemListener { text.text = list.selectedIndex > 0 ? list.selectedItem : "" }
        def constraints = dialog.layout.getConstraints(text)
        dialog.remove(text)
        def panel = new Panel(new FlowLayout(FlowLayout.LEFT, 0, 0))
        panel.add(text)
        panel.add(list)
        dialog.layout.setConstraints(panel, constraints)
        dialog.add(panel)
    }

    /** Rows that a check box brings out; the box itself isn't read, and so isn't recorded. */
    private void addHiddenRows(List rows) {
        dialog.addCheckbox("more settings", false)
        def box = dialog.checkboxes.last()
        def shown = dialog.components.toList()
        rows.each { addRow(it) }
        def hidden = dialog.components.toList() - shown
        hidden*.visible = false
        box.addItemListener {
            hidden*.visible = box.state
            dialog.pack()
        }
    }

    private static String range(Map row) {
        if (row.low != null && row.high != null) return " ($row.low to $row.high)"
        return row.low != null ? " (at least $row.low)" : row.high != null ? " (at most $row.high)" : ""
    }

    private String help() {
        def rows = form.collect { "<tr><td><b>${it.name}</b></td><td>${it.help}${range(it)}</td></tr>" }
        return "<html><h3>$label</h3><table>${rows.join()}</table>" +
            "<p>The names are the keys in macros, as in run(\"$label\", \"${form[0].name}=${form[0].value}\").</p></html>"
    }

    // ---- While it is open ----

    /** Say which number is none; then there is no OK. */
    private boolean complain() {
        def wrong = form.find { it.type in ["whole", "number"] && !isNumber(it, now(it).trim()) }
        complaint.text = wrong == null ? "" :
            "$wrong.name: '${now(wrong)}' is not a ${wrong.type == 'whole' ? 'whole ' : ''}number${range(wrong)}"
        return wrong == null
    }

    private static boolean isNumber(Map row, String text) {
        if (!text) return true  // the default
        if (!(row.type == "whole" ? text.isBigInteger() : text.isBigDecimal())) return false
        def number = text.toBigDecimal()
        return (row.low == null || number >= row.low) && (row.high == null || number <= row.high)
    }

    private void preview() {
        if (isPreviewing || !complain()) return
        isPreviewing = true
        def values = form.collectEntries { [it.name, now(it)] }
        Thread.startDaemon {
            try {
                client.preview(command, values, active)
            } catch (Throwable error) {
                def problem = ZooBridgeProblem.of(error)
                IJ.log("Preview: " + problem.message)
                complaint.text = problem.message
            } finally {
                isPreviewing = false
            }
        }
    }
}
