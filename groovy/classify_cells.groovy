/**
 * Measure the cells that are already in the open image, and give them HER2 classes where they are.
 *
 * REQUIRES  an open project and an open image (menu Extensions > HER2, Run, or *Run for project* for all of them), or
 *           headless `QuPath script classify_cells.groovy -p project.qpproj`. The folder `lib` lies beside this script, and
 *           a Python has qupath-her2 (see check_setup.groovy).
 * READS     annotations and cells of QuPath, StarDist, InstanSeg or Cellpose; pixel size, stains; pixels (by Python)
 * WRITES    her2/ beside the project; the image's objects, data file and metadata, all of it or nothing. Objects of
 *           yours stay as they are; cells of ours that you changed stay as you changed them.
 * STEPS     1. export regions and cells  2. measure and score them in Python  3. classes, measurements and score into the
 *           image, by the cells' ids  4. say the result
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import java.awt.image.BufferedImage
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // where results go; "" is the folder her2 beside the project file
def options = []            // e.g. ["site=gastric", "specimen=biopsy", "guideline=breast-2013", "pixel-size-um=0.25", "whole-tissue"]
// Headless they can be given as `--args`: --args her2=/data/her2 --args site=gastric
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
Project<BufferedImage> project = getProject()
ImageData<BufferedImage> image = getCurrentImageData()
def entry = getProjectEntry()
if (project == null || entry == null)
    throw new IllegalStateException("No image of a project is open, so there is nothing to classify. Open a project and one of " +
        "its images (File > Project; Add images puts the present one into a new project).")

def words = []
for (String word : (options + (args as List<String>))) {
    if (word.startsWith("her2="))
        exchangeFolder = word.substring(5)
    else if (her2("Her2Scoring").option(word) == null)
        throw new IllegalArgumentException("Unknown argument '${word}'. There are: her2=FOLDER, ${her2("Her2Scoring").known()}")
    else
        words.addAll(her2("Her2Scoring").option(word))
}
def folder = exchangeFolder ? new File(exchangeFolder) : new File(project.getPath().getParent().toFile(), "her2")
def scoring = her2("Her2Scoring").getConstructor(Project, File, ImageData).newInstance(project, folder, image)
scoring.options = words
scoring.inPlace = true
def isShown = her2("Her2Window").shows(image)
def found
try {
    found = scoring.one(entry)
} catch (Throwable problem) {
    her2("Her2Status").failed(folder, "classify", entry.getID(), problem)
    throw problem
}
her2("Her2Status").done(folder, "classify", entry.getID(), new TreeMap<String, Object>(found))
her2("Her2Window").refresh()
if (isShown)
    her2("Her2Window").tell("HER2: ${entry.getImageName()}", found.message)
println found.message
println "HER2_CLASSIFY_CELLS_OK state=${found.state} ${her2("Her2Status").words(found.findAll { !(it.key in ["message", "name"]) })}"

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
            def loader = new GroovyClassLoader(PathObject.classLoader, options)
            loader.addClasspath(lib.path)
            shared.put(key, loader)
        }
        return (shared.get(key) as ClassLoader).loadClass(name)
    }
}
