/**
 * Check everything that scoring from QuPath needs: Python, qupath-her2, slide readers, a writable folder.
 *
 * REQUIRES  nothing but the `lib` folder next to this script
 * READS     the chosen Python; the report of `qupath-her2 doctor`
 * WRITES    nothing that stays
 * STEPS     1. find Python  2. run its self-check, which scores a synthetic field end to end  3. show the report
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import java.awt.image.BufferedImage
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
// none
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
Project<BufferedImage> project = getProject()
// The folder that results would be written to.
def folder = project == null ? new File(System.getProperty("java.io.tmpdir")) : project.getPath().getParent().toFile()
def python = her2("Her2Python").find()
def progress = her2("Her2Progress").newInstance("HER2: check set-up", true)
def run = null
def code = 1
try {
    progress.show("Scoring a synthetic field", 0.3d)
    def words = ["doctor", folder.getPath(), "--inside-qupath", QuPathGUI.getVersion().toString()]
    run = her2("Her2PythonRun").newInstance(python, words, folder, 100)
    // 1 is a failed check: its report is the result here.
    run.results = [0, 1]
    code = run.await(progress) { }
} finally {
    progress.close()
}
def report = (["Python ${python.program}"] + run.lastLines()).join("\n")
println report
if (code != 0)
    throw new IllegalStateException("Not ready to score.\n\n${report}")
her2("Her2Window").showTable("HER2: ready to score", report)
println "HER2_CHECK_SETUP_OK python=${python.version} qupath_her2=${python.packageVersion}"

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
