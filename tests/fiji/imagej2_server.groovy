// Starts an ImageJ2 of the class path, patched as Fiji does before any class of ImageJ 1.x is loaded,
// and then serves as groovy_server.groovy, the first argument. `imagej2` is its gateway.
import java.awt.GraphicsEnvironment

net.imagej.patcher.LegacyInjector.preinit()
def imagej2 = Class.forName("net.imagej.ImageJ").getDeclaredConstructor().newInstance()
if (!GraphicsEnvironment.headless) imagej2.ui().showUI()
new GroovyShell(getClass().classLoader, new Binding(args: [] as String[], imagej2: imagej2)).evaluate(new File(args[0]))
