/**
 * Lay the next heat map over the open image: what a network says of its patches, where it looked (Grad-CAM), or the
 * staining of the IHC indicators; after the last one the image stands alone again.
 *
 * REQUIRES  an open project and an open image with a prediction (qupath-her2 predict), or with a score by indicators;
 *           headless `QuPath script show_heat_map.groovy -p project.qpproj` only says which maps there are. The folder
 *           `lib` lies beside this script.
 * READS     overlays.json and its pictures in the run that counts, of her2/predictions and of her2
 * WRITES    nothing: the map lies on the screen until the image is closed
 * STEPS     1. find the maps of the image  2. show the one after that which is shown  3. say its name
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // where the results are; "" is the folder her2 beside the project file
// Headless it can be given as `--args`: --args her2=/data/her2
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def project = getProject()
def entry = project == null ? null : getProjectEntry()
if (entry == null)
    throw new IllegalStateException("No image of a project is open, so there is nothing to lay a map over. Open one.")
def words = her2("Her2Words").read(args as List<String>, [her2: exchangeFolder])
def folder = her2("Her2Words").exchangeFolder(project, words.her2)
def server = getCurrentServer()
def maps = her2("Her2HeatMap").of(folder, entry.getID(), server.getWidth(), server.getHeight())
if (maps.isEmpty())
    throw new IllegalStateException("There is no heat map of this image in '${folder}'. Let a network predict it: " +
        "qupath-her2 predict (--cam for where it looked), or score it by qupath-her2 run --method indicators.")
def shown = her2("Her2HeatMaps").next(maps, getCurrentImageData())
println "HER2_SHOW_HEAT_MAP_OK maps=${maps.size()} shown=${shown ?: "none, there is no window"} of=${maps*.name}"

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
