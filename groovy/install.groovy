/**
 * Install the HER2 menu in QuPath: Extensions > HER2, now and at every start.
 *
 * REQUIRES  QuPath's window (drag this file onto it, then press Run), or headless: `QuPath script install.groovy`. The
 *           other scripts and the `lib` folder next to this one.
 * READS     the scripts next to this one; which Python has qupath-her2
 * WRITES    the folder her2 in QuPath's user directory, and QuPath's start-up script preference. A start-up
 *           script of your own keeps running. `qupath-her2 install-scripts --remove` removes it all.
 * STEPS     1. copy the scripts  2. find Python  3. add the menu, now and at every start
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
// none; Extensions > HER2 > Set-up > Set Python… chooses the Python
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def source = her2("Her2Installation").running()
def target = her2("Her2Installer").install(source)
def window = QuPathGUI.getInstance()
if (window != null) {
    her2("Her2Menu").install(window, target)
    her2("Her2Heartbeat").start(window)
}
def python = her2("Her2Installer").findPython(target)
println python
her2("Her2Window").show("HER2", "HER2 menu installed: Extensions > HER2.\n${python}\nRestart not needed.")
println "HER2_INSTALL_OK folder=${target.toURI()}"

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
