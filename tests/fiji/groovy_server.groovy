// Runs Groovy snippets in a real Java with ImageJ, for tests: a line of JSON in, a line of JSON out.
//
//     in:   {"code": "return client.models()", "arguments": {"name": "a"}}
//     out:  ANSWER {"value": ["deep-storm"], "log": "text of ImageJ's log", "dialogs": ["..."]}
//     out:  ANSWER {"trace": "...", "log": "", "dialogs": []}
//
// The arguments, for an ImageJ without SciJava: the folder with zoobridge/ZooBridge.groovy, and that of
// the launchers. Then `client` is the ZooBridge, and run("ZooBridge Predict", ...) runs its launcher, with
// defaults for all inputs, as SciJava would. `arguments` is what was sent with the snippet.
// Modal dialogs are noted and closed, as a user would close them, unless "keep" is sent.
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import ij.IJ
import ij.WindowManager

import java.awt.Container
import java.awt.Dialog
import java.awt.GraphicsEnvironment
import java.awt.Label
import java.awt.Window

def out = System.out
def printed = new ByteArrayOutputStream()
System.out = System.err
if (!GraphicsEnvironment.headless && IJ.instance == null) new ij.ImageJ(null, ij.ImageJ.STANDALONE)
def loader = new GroovyClassLoader(getClass().classLoader)
def client = null
def runLauncher = { String command ->
    def lines = new File(args[1], command.replace(" ", "_") + ".groovy").readLines()
    def defaults = new Binding()
    lines.each { line ->
        def input = line =~ /^#@ CharSequence .*value=("(?:\\.|[^"])*")\) (\w+)$/
        if (input) defaults[input[0][2]] = new JsonSlurper().parseText(input[0][1])
    }
    new GroovyShell(loader, defaults).evaluate(lines.findAll { !it.startsWith("#@") }.join("\n"))
    return null
}
if (args) {
    def file = new File(args[0], "zoobridge/ZooBridge.groovy")
    client = loader.parseClass(file).getDeclaredConstructor().newInstance()
    IJ.setProperty("zoobridge.client", [date: file.lastModified(), client: client])
    try {
        if (GraphicsEnvironment.headless) IJ.run("Set up", "")  // its menu bar fails, but only once
    } catch (java.awt.HeadlessException ignored) {
    }
    ij.Executer.addCommandListener { it.startsWith("ZooBridge ") ? runLauncher(it) : it }
}

def texts
texts = { Container container ->
    container.components.collectMany { part ->
        if (part instanceof ij.gui.MultiLineLabel) {
            def lines = ij.gui.MultiLineLabel.getDeclaredField("lines")
            lines.accessible = true
            return lines.get(part).toList()
        }
        part instanceof Container ? texts(part) : part instanceof Label ? [part.text] : []
    }
}
def closeDialogs = {
    Window.windows.findAll { it instanceof Dialog && it.showing && it.modal }.collect {
        def said = [it.title, *texts(it)].join("\n")
        it.dispose()
        said
    }
}
def clear = {
    WindowManager.IDList.each { id ->
        def image = WindowManager.getImage(id as int)
        image.changes = false
        image.close()
    }
    ij.macro.Interpreter.batchMode = false
    WindowManager.tempCurrentImage = null
    if (!GraphicsEnvironment.headless) IJ.log("\\Clear")
}

System.out = System.err = new PrintStream(printed, true, "UTF-8")
out.println("ANSWER " + JsonOutput.toJson([value: "ready"]))
out.flush()
System.in.eachLine("UTF-8") { line ->
    def said = new JsonSlurper().parseText(line)
    def answer = [:]
    def dialogs = []
    printed.reset()
    ij.macro.Interpreter.batchMode = GraphicsEnvironment.headless
    def worker = new Thread({
        try {
            def binding = new Binding(client: client, arguments: said.arguments, loader: loader)
            answer.value = new GroovyShell(loader, binding).evaluate(said.code)
        } catch (Throwable error) {
            def trace = new StringWriter()
            error.printStackTrace(new PrintWriter(trace))
            answer.trace = trace as String
        } finally {
            WindowManager.setTempCurrentImage(null)
        }
    }, said.arguments.thread ?: "Run\$_test")
    worker.start()
    while (worker.alive) {
        worker.join(20)
        if (!GraphicsEnvironment.headless && !said.arguments.keep) dialogs += closeDialogs()
    }
    answer.log = GraphicsEnvironment.headless ? printed.toString("UTF-8") : IJ.log
    answer.dialogs = dialogs
    def text = JsonOutput.toJson(answer)
    clear()
    out.println("ANSWER " + text)
    out.flush()
}
System.exit(0)
