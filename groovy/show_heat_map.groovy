/**
 * Show the next heat map on the open image: class probabilities of a network's patches, a Grad-CAM map, or the staining
 * measured by the IHC indicators. After the last map the image is shown alone again.
 *
 * REQUIRES  an open project and an open image with a prediction (qupath-her2 predict) or a score by indicators.
 *           Headless, `QuPath script show_heat_map.groovy -p project.qpproj` only lists the maps. The `lib` folder next
 *           to this script.
 * READS     overlays.json and its pictures in the image's current runs, in her2/predictions and her2
 * WRITES    nothing: the map is shown until another image is opened
 * STEPS     1. find the image's maps  2. show the one after the current map  3. show its name
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // folder of the results; "" is the folder her2 next to the project file
// Headless, pass it as `--args`: --args her2=/data/her2
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def project = getProject()
def entry = project == null ? null : getProjectEntry()
if (entry == null)
    throw new IllegalStateException("No image of a project is open, so there are no heat maps to show. Open one.")
def settings = her2("Her2Arguments").parse(args as List<String>, [her2: exchangeFolder])
def folder = her2("Her2Arguments").exchangeFolder(project, settings.her2)
def server = getCurrentServer()
def maps = her2("Her2HeatMap").of(folder, entry.getID(), server.getWidth(), server.getHeight())
if (maps.isEmpty())
    throw new IllegalStateException("There is no heat map of this image in '${folder}'. Predict it with a network " +
        "first: Extensions > HER2 > Network > Predict with a network…")
def shown = her2("Her2HeatMap").showNext(maps, getCurrentImageData())
println "HER2_SHOW_HEAT_MAP_OK maps=${maps.size()} shown=${shown ?: "none, there is no window"} of=${maps*.name}"

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
