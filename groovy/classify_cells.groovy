/**
 * Measure the cells that are already in the open image, and give them HER2 classes where they are.
 *
 * REQUIRES  an open project and an open image (menu Extensions > HER2, Run, or *Run for project* for all of them), or
 *           headless `QuPath script classify_cells.groovy -p project.qpproj`. The folder `lib` lies beside this
 *           script, and a Python has qupath-her2 (see check_setup.groovy).
 * READS     annotations and cells of QuPath, StarDist, InstanSeg or Cellpose; pixel size, stains; pixels (by Python)
 * WRITES    her2/ beside the project; the image's objects, data file and metadata, all of it or nothing. Objects of
 *           yours stay as they are; cells of ours that you changed stay as you changed them.
 * STEPS     1. export regions and cells  2. measure and score them in Python  3. classes, measurements and score
 *           into the image, by the cells' ids  4. say the result
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
def entry = getProjectEntry()
if (entry == null)
    throw new IllegalStateException("No image of a project is open, so there is nothing to classify. Open a project " +
        "and one of its images (File > Project; Add images puts the present one into a new project).")

def words = options + (args as List<String>)
def scoring = her2("Her2Scoring").of(getProject(), getCurrentImageData(), exchangeFolder, words)
scoring.inPlace = true
def found = scoring.one(entry)
println found.message
println "HER2_CLASSIFY_CELLS_OK state=${found.state} ${her2("Her2Status").words(found)}"

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
