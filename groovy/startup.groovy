/**
 * Run by QuPath when it starts: adds the HER2 menu, and marks the open project as open.
 *
 * REQUIRES  QuPath's window; installed by install.groovy or `qupath-her2 install-scripts`
 * READS     her2.json next to this script: the start-up script that you had before
 * WRITES    PROJECT.her2-open next to the project while it is open: pushes from a terminal refuse meanwhile
 * STEPS     1. run your own start-up script  2. in the background, add the menu  3. watch which project is open
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import com.google.gson.Gson
import javafx.application.Platform
import org.codehaus.groovy.control.CompilerConfiguration
import org.slf4j.LoggerFactory
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject

// SETTINGS -----------------------------------------------------------------
// none
// ---- nothing to edit below -----------------------------------------------

def window = QuPathGUI.getInstance()
if (window == null)
    throw new IllegalStateException("This script needs QuPath's window; without one there is nothing to start.")
def former = formerScript()
def problem = null
if (former && new File(former).isFile()) {
    try {
        window.runScript(new File(former), null)
    } catch (Exception thrown) {
        // A failure of the user's own script must not keep the menu away; it is reported at the end.
        problem = thrown
    }
}
window.installCommand("Extensions>HER2>Getting ready…", { })
// After an update the library is compiled, which takes some 20 s: not here, where it would freeze QuPath's new window.
Thread.startDaemon("HER2 start") { addMenu(window) }
if (problem != null)
    throw new IllegalStateException("Your start-up script '${former}' failed: ${problem.message}")
println "HER2_STARTUP_OK former=${former ?: ""}"

/** The start-up script that the user had before; read without the library, which is not compiled yet. */
String formerScript() {
    // QuPath compiles scripts from their text, so that only its own variable says where this one lies.
    def run = binding.variables["qupath.script.file"]
    def user = UserDirectoryManager.getInstance().getUserPath()
    def places = [run ? new File(run as String).parentFile : null, user ? new File(user.toFile(), "her2") : null]
    def config = places.findAll { it != null }.collect { new File(it, "her2.json") }.find { it.isFile() }
    if (config == null)
        return null
    return new Gson().fromJson(config.getText("UTF-8"), Map).former_startup
}

/** Load the library, compiling it if needed, then add the menu and watch which project is open. */
void addMenu(QuPathGUI window) {
    def word = new Timer("HER2 word", true)
    word.schedule({
        Dialogs.showInfoNotification("HER2", "The HER2 menu is getting ready. This takes about 20 s, once after an " +
            "update.")
    } as TimerTask, 3000)
    try {
        def menu = her2("Her2Menu")
        def heartbeat = her2("Her2Heartbeat")
        def folder = her2("Her2Installation").running()
        Platform.runLater {
            menu.install(window, folder)
            heartbeat.start(window)
        }
        LoggerFactory.getLogger("qupath-her2").info("HER2 menu installed")
    } catch (Exception | LinkageError problem) {
        LoggerFactory.getLogger("qupath-her2").error("The HER2 menu could not be added", problem)
        Dialogs.showErrorNotification("HER2", "The HER2 menu could not be added: ${problem.message}")
    } finally {
        word.cancel()
    }
}

// ---- the library: the same lines in every script --------------------------

/** A class of the `lib` folder. One class loader serves the whole JVM, so that all scripts share the same classes. */
Class<?> her2(String name) {
    def own = new File(this.class.protectionDomain.codeSource.location.toURI())
    def run = binding.variables["qupath.script.file"]
    def user = UserDirectoryManager.getInstance().getUserPath()
    def given = System.getProperty("qupath_her2.groovy")
    def places = [own.parentFile, run ? new File(run as String).parentFile : null,
                  user ? new File(user.toFile(), "her2") : null, given ? new File(given) : null].findAll { it != null }
    def lib = places.collect { new File(it, "lib") }.find { new File(it, "${name}.groovy").isFile() }
    if (lib == null)
        throw new FileNotFoundException("lib/${name}.groovy of qupath-her2 not found in ${places.join(', ')}. " +
            "Keep the 'lib' folder next to the script, or install the scripts: qupath-her2 install-scripts")
    // The library may be updated while QuPath is open; each version gets a class loader of its own.
    def key = "qupath_her2.loader ${lib.canonicalPath} ${lib.listFiles()*.lastModified().max()}".toString()
    def shared = System.getProperties()
    synchronized (shared) {
        if (!shared.containsKey(key)) {
            def options = new CompilerConfiguration(sourceEncoding: "UTF-8")
            def first = new GroovyClassLoader(PathObject.classLoader, options)
            shared.put(key, first.parseClass(new File(lib, "Her2Loader.groovy")).of(lib))
        }
        return (shared.get(key) as ClassLoader).loadClass(name)
    }
}
