/**
 * Check that everything is here that scoring from QuPath needs: Python, qupath-her2, readers, a folder to write to.
 *
 * REQUIRES  nothing; the folder `lib` lies beside this script
 * READS     which Python was chosen; what `qupath-her2 doctor` finds
 * WRITES    nothing that stays
 * STEPS     1. find Python  2. ask it to check itself, with a drawn field scored from end to end  3. show what it says
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import java.awt.image.BufferedImage
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
// none
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
Project<BufferedImage> project = getProject()
def folder = project == null ? new File(System.getProperty("java.io.tmpdir")) : project.getPath().getParent().toFile()
def check = her2("Her2Doctor").getConstructor(File).newInstance(folder)
check.run()
println check.text
if (!check.isReady)
    throw new IllegalStateException("Not ready to score.\n\n${check.text}")
her2("Her2Window").tellTable("HER2: ready to score", check.text)
println "HER2_CHECK_SETUP_OK python=${check.python.version} qupath_her2=${check.python.packageVersion}"

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
