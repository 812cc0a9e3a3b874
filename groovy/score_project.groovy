/**
 * Score HER2 in all images of the open project.
 *
 * REQUIRES  an open project (menu Extensions > HER2, or Run), or headless `QuPath script score_project.groovy
 *           -p project.qpproj` (QuPath runs it for each image; the first run does all of them). The folder `lib` lies
 *           beside this script, and a Python has qupath-her2 (see check_setup.groovy).
 * READS     annotations, pixel size, stains of the images; their pixels (by Python)
 * WRITES    her2/ beside the project; each image's objects, data file and metadata, all of it or nothing. Objects of
 *           yours stay as they are; cells of ours that you changed stay as you changed them.
 * STEPS     1. export the regions  2. find, measure and score cells in Python  3. cells, classes, measurements, score
 *           into each image  4. say what became of them
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // where results go; "" is the folder her2 beside the project file
// e.g. ["site=gastric", "specimen=biopsy", "guideline=breast-2013", "pixel-size-um=0.25", "whole-tissue"]
def options = []
// Headless they can be given as `--args`: --args her2=/data/her2 --args site=gastric
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
if (getProject() == null)
    throw new IllegalStateException("No project is open, so there is nothing to score. Open one " +
        "(File > Project > Open project).")

def words = options + (args as List<String>)
def scoring = her2("Her2Scoring").of(getProject(), getCurrentImageData(), exchangeFolder, words)
// Over a project QuPath runs this once per image; the first run has done them all.
def isLater = (binding.variables["qupath.script.batchIndex"] ?: 0) > 0
def found = isLater ? [] : scoring.all()
def failed = found.findAll { it.state == "failed" }
def scored = found.findAll { it.score != null && it.score != "not assessable" }
def message = "${found.size()} images: ${scored.size()} scored, ${found.size() - scored.size() - failed.size()} " +
    "without a score, ${failed.size()} failed." + failed.collect { "\n${it.name}: ${it.reason}" }.join("")
if (failed)
    throw new IllegalStateException(message)
if (!isLater)
    her2("Her2Window").tell("HER2", message + " Research use only.")
println "HER2_SCORE_PROJECT_OK images=${found.size()} scored=${scored.size()} failed=${failed.size()}"

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
