/**
 * Run by QuPath when it starts: the HER2 menu, and the sign beside an open project that it is open.
 *
 * REQUIRES  QuPath's window; installed by install.groovy or `qupath-her2 install-scripts`
 * READS     her2.json beside this script: the start-up script that you had before
 * WRITES    PROJECT.her2-open beside the open project while it is open: pushes from a terminal wait for its end
 * STEPS     1. run your own start-up script  2. put up the menu  3. watch which project is open
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import org.slf4j.LoggerFactory
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject

// SETTINGS -----------------------------------------------------------------
// none
// ---- nothing to edit below -----------------------------------------------

def window = QuPathGUI.getInstance()
if (window == null)
    throw new IllegalStateException("This script is for QuPath's window; there is nothing to run without one.")
def problem = null
def former = her2("Her2Installed").config().get("former_startup")
if (former && new File(former).isFile()) {
    try {
        window.runScript(new File(former), null)
    } catch (Exception thrown) {
        // Theirs must not keep ours from running, nor be passed over in silence.
        problem = thrown
    }
}
her2("Her2Menu").install(window, her2("Her2Installed").running())
her2("Her2Session").start(window)
if (problem != null)
    throw new IllegalStateException("The start-up script '${former}' failed: ${problem.message}")
LoggerFactory.getLogger("qupath-her2").info("HER2 menu installed")
println "HER2_STARTUP_OK former=${former ?: ""}"

// ---- the library: the same lines in every script --------------------------

/** A class of the folder `lib`; one class loader serves the whole JVM, so that the classes know each other. */
Class<?> her2(String name) {
    def own = new File(this.class.protectionDomain.codeSource.location.toURI())
    def run = binding.variables["qupath.script.file"]
    def user = UserDirectoryManager.getInstance().getScriptsDirectoryPath()
    def told = System.getProperty("qupath_her2.groovy")
    def places = [own.parentFile, run ? new File(run as String).parentFile : null,
                  user ? new File(user.toFile(), "HER2") : null, told ? new File(told) : null].findAll { it != null }
    def lib = places.collect { new File(it, "lib") }.find { new File(it, "${name}.groovy").isFile() }
    if (lib == null)
        throw new FileNotFoundException("lib/${name}.groovy of qupath-her2 is in none of ${places.join(', ')}. " +
            "Keep the folder 'lib' beside the script, or install the scripts: qupath-her2 install-scripts")
    // A library that was replaced while QuPath is open is another library, and gets a loader of its own.
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
