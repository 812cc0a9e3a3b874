/**
 * Write the images and people's regions of the open project to its exchange folder, for scoring in Python.
 *
 * REQUIRES  an open project: in QuPath's window (script editor, Run or *Run for project*), or headless by
 *           `QuPath script export_regions.groovy -p project.qpproj`. The folder `lib` lies beside this script.
 * READS     images, annotations, TMA cores, pixel size, stains, image type, metadata; with cells also detections
 * WRITES    her2/images.json, her2/regions/ (or the folder below) and her2/status/; of the project itself only metadata
 *           that an import left out because it was killed
 * STEPS     1. which images: the whole project from the window, one at a time where QuPath runs over images
 *           2. export them  3. say what was left out and why
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import org.slf4j.LoggerFactory
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // where to write; "" is the folder her2 beside the project file
def withCells = false       // also write the cells that are there, to classify them in place (--cells from-regions)
def withPixels = false      // write images that Python cannot open as OME-TIFF of their regions, instead of refusing
// Headless they can be given as `--args`: --args out=/data/her2 --args cells --args pixels
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def project = getProject()
if (project == null)
    throw new IllegalStateException("No project is open, so there is nothing to export. Open one " +
        "(File > Project > Open project), or start QuPath with: script export_regions.groovy -p project.qpproj")

def words = her2("Her2Words").read(args as List<String>, [out: exchangeFolder, cells: withCells, pixels: withPixels])
def folder = her2("Her2Words").exchangeFolder(project, words.out)
def export = her2("Her2Export").getConstructor(Project, File).newInstance(project, folder)
export.withCells = words.cells
export.withPixels = words.pixels
// What is seen in the window is what is exported.
export.open = her2("Her2Window").open(project, null)

// Over a project QuPath runs this once per image, and each run exports its own.
def entry = getProjectEntry()
def isOneOfMany = entry != null && !her2("Her2Window").shows(getCurrentImageData())
def found = export.run(isOneOfMany ? [entry.getID()] : null)
def logger = LoggerFactory.getLogger("qupath-her2")
found.refused.each { image, reason -> logger.warn("{} was left out: {}", image, reason) }
her2("Her2Status").done(folder, "export", isOneOfMany ? entry.getID() : "project", found)
println "HER2_EXPORT_REGIONS_OK images=${found.images} regions=${found.regions} cells=${found.cells} " +
    "refused=${found.refused.size()}"

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
