// Runs Groovy snippets in a real Java with ImageJ, for tests: a line of JSON in, a line of JSON out.
//
//     in:   {"code": "return client.models()", "arguments": {"name": "a"}}
//     out:  ANSWER {"value": ["deep-storm"], "log": "text of ImageJ's log", "dialogs": ["..."]}
//     out:  ANSWER {"trace": "...", "log": "", "dialogs": []}
//
// `client` is the ZooBridge made from the file named by the first argument, if there is one; `arguments`
// is what was sent.
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
System.out = System.err = new PrintStream(printed, true, "UTF-8")
if (!GraphicsEnvironment.headless && IJ.instance == null) new ij.ImageJ(null, ij.ImageJ.STANDALONE)
def loader = new GroovyClassLoader(getClass().classLoader)
def client = args ? loader.parseClass(new File(args[0])).getDeclaredConstructor().newInstance() : null

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

out.println("ANSWER " + JsonOutput.toJson([value: "ready"]))
out.flush()
System.in.eachLine("UTF-8") { line ->
    def said = new JsonSlurper().parseText(line)
    def answer = [:]
    def dialogs = []
    printed.reset()
    def worker = new Thread({
        try {
            def binding = new Binding(client: client, arguments: said.arguments, loader: loader)
            answer.value = new GroovyShell(loader, binding).evaluate(said.code)
        } catch (Throwable error) {
            def trace = new StringWriter()
            error.printStackTrace(new PrintWriter(trace))
            answer.trace = trace as String
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
