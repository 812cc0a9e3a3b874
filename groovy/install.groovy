/**
 * Install the HER2 menu into QuPath: Extensions > HER2, now and at every start.
 *
 * REQUIRES  QuPath's window (drag this file onto it, then press Run), or `QuPath script install.groovy`. The other
 *           scripts and the folder `lib` lie beside this one.
 * READS     the scripts beside this one; which Python has qupath-her2
 * WRITES    the folder scripts/HER2 in QuPath's user folder, and QuPath's preference for a start-up script. One that
 *           you have keeps running. `qupath-her2 install-scripts --remove` takes it all out again.
 * STEPS     1. copy the scripts  2. find Python  3. have the menu come up at every start, and now
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
// none; the Python is chosen by Extensions > HER2 > Set Python…
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def source = her2("Her2Installed").running()
def target = her2("Her2Setup").install(source)
def window = QuPathGUI.getInstance()
if (window != null) {
    her2("Her2Menu").install(window, target)
    her2("Her2Session").start(window)
}
def python = her2("Her2Setup").describePython(target)
println python
her2("Her2Window").tell("HER2", "HER2 menu installed: Extensions > HER2.\n${python}\nRestart not needed.")
println "HER2_INSTALL_OK folder=${target.toURI()}"

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
