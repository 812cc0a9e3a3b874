/**
 * Export the images and annotations of the open project to its exchange folder, for scoring in Python.
 *
 * REQUIRES  an open project in QuPath's window (script editor, Run or *Run for project*), or headless:
 *           `QuPath script export_regions.groovy -p project.qpproj`. The `lib` folder next to this script.
 * READS     images, annotations, TMA cores, pixel size, stains, image type, metadata; with cells also detections
 * WRITES    her2/images.json, her2/regions/ (or the folder below) and her2/status/. The project itself is not changed,
 *           except that metadata which an interrupted import left unsaved are completed.
 * STEPS     1. choose the images: the whole project from the window, one at a time where QuPath runs over images
 *           2. export them  3. list the images left out, with the reason
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import org.slf4j.LoggerFactory
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // folder to export to; "" is the folder her2 next to the project file
def withCells = false       // also export existing cells, to classify them in place (--cells from-regions)
def withPixels = false      // export images that Python cannot open as OME-TIFF of their regions, instead of refusing
// Headless, pass them as `--args`: --args out=/data/her2 --args cells --args pixels
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def project = getProject()
if (project == null)
    throw new IllegalStateException("No project is open, so there is nothing to export. Open one " +
        "(File > Project > Open project), or start QuPath with: script export_regions.groovy -p project.qpproj")

def defaults = [out: exchangeFolder, cells: withCells, pixels: withPixels]
def settings = her2("Her2Arguments").parse(args as List<String>, defaults)
def folder = her2("Her2Arguments").exchangeFolder(project, settings.out)
def export = her2("Her2Export").getConstructor(Project, File).newInstance(project, folder)
export.withCells = settings.cells
export.withPixels = settings.pixels
// An image open in the window is exported as it is there, unsaved changes included.
export.open = her2("Her2Window").openImages(project, null)

// Over a project QuPath runs this script once per image, and each run exports its own.
def entry = getProjectEntry()
def isOneOfMany = entry != null && !her2("Her2Window").isShown(getCurrentImageData())
def counts = export.run(isOneOfMany ? [entry.getID()] : null)
def logger = LoggerFactory.getLogger("qupath-her2")
counts.refused.each { image, reason -> logger.warn("{} was not exported: {}", image, reason) }
if (!isOneOfMany)
    her2("Her2Window").show("HER2: export regions", ["${counts.regions} regions and ${counts.cells} cells of " +
        "${counts.images - counts.refused.size()} images exported to ${folder}."] .plus(
        counts.refused.collect { image, reason -> "${image} was left out: ${reason}" }).join("\n"))
her2("Her2Status").writeDone(folder, "export", isOneOfMany ? entry.getID() : "project", counts)
println "HER2_EXPORT_REGIONS_OK images=${counts.images} regions=${counts.regions} cells=${counts.cells} " +
    "refused=${counts.refused.size()}"

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
