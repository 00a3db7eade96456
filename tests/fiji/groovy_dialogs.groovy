// Functions for snippets of the tests: use a dialog as a person does.
/* Does something to the dialog when it is open; gives what that gave. */
def whenOpen(Closure action) {
    def result = new java.util.concurrent.CompletableFuture()
    Thread.startDaemon {
        def dialog = null
        while (dialog == null || !dialog.visible) {
            dialog = java.awt.Window.windows.find { it instanceof ij.gui.GenericDialog && it.visible }
            Thread.sleep(50)
        }
        Thread.sleep(300)
        try {
            result.complete(action(dialog))
        } catch (Throwable error) {
            result.completeExceptionally(error)
            press(dialog, "Cancel")
        }
    }
    return result
}
def press(dialog, label) {
    def button = everything(dialog).find { it instanceof java.awt.Button && it.label.trim() == label }
    java.awt.EventQueue.invokeAndWait {
        button.actionListeners.each { it.actionPerformed(new java.awt.event.ActionEvent(button, 1001, label)) }
    }
}
def everything(container) {
    container.components.collectMany { it instanceof java.awt.Container ? everything(it) + [it] : [it] }
}
def labels(dialog) {
    everything(dialog).findAll { it instanceof java.awt.Label }*.text.findAll { it.trim() }
}
def choices(dialog) {
    everything(dialog).findAll { it instanceof java.awt.Choice }.collect { list ->
        (0..<list.itemCount).collect { list.getItem(it) }
    }
}
def entry(dialog, n, text) {
    def field = dialog.stringFields[n]
    java.awt.EventQueue.invokeAndWait { field.text = text }
    Thread.sleep(200)
}
/* Runs a menu entry; the recorder is told as ImageJ's own commands tell it. */
def menu(command) {
    ij.plugin.frame.Recorder.setCommand(command)
    new ij.Executer(command).run()
    ij.plugin.frame.Recorder.saveCommand()
}
