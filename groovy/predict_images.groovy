/**
 * Predict the classes of patches with a trained network, in the open image or in several images of the project.
 *
 * REQUIRES  an open project and image (Extensions > HER2, Run, or *Run for project* for all images), or headless:
 *           `QuPath script predict_images.groovy -p project.qpproj --args model=her2/models/se-resnet50/best`.
 *           The `lib` folder next to this script, and a Python with qupath-her2 and torch (see check_setup.groovy).
 * READS     the network; annotations and pixel size of the images; their pixels (in Python)
 * WRITES    her2/predictions next to the project; tiles with class and probabilities, each image's data file and
 *           metadata, all of it or nothing. Scores, and your own objects, stay as they are.
 * STEPS     1. export the regions  2. cut patches and classify them in Python  3. write the tiles to each image
 *           4. show the result; then Show heat map
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // folder for the results; "" is the folder her2 next to the project file
// ["model=/data/her2/models/se-resnet50/best"]: the network's weights, without .safetensors; further "cam" (Grad-CAM),
// "whole-tissue", "pixel-size-um=0.25"; images: "scope=all", "scope=unscored", or "image=case07.svs" for each
def options = []
// Headless, pass them as `--args`: --args her2=/data/her2 --args model=/data/her2/models/se-resnet50/best
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
if (getProject() == null)
    throw new IllegalStateException("No project is open, so there is nothing to predict. Open one " +
        "(File > Project > Open project).")

def settings = options + (args as List<String>)
if (!settings.any { it.startsWith("model=") })
    throw new IllegalStateException("No network was named. Choose one (Extensions > HER2 > Network > Predict with a " +
        "network…), or pass model=FILE: the weights of a network, without .safetensors.")
def scoring = her2("Her2Scoring").predicting(getProject(), getCurrentImageData(), exchangeFolder, settings)
def results = scoring.scoreAll()
def failed = results.findAll { it.state == "failed" }
def message = results.collect { "${it.name}: ${it.reason ?: it.message}" }.join("\n")
println message
if (failed)
    throw new IllegalStateException(message)
her2("Her2Window").show("HER2: ${results.size() == 1 ? results[0].name : "${results.size()} images"}", message +
    "\nThe map of the open image: Extensions > HER2 > Network > Show heat map.")
println "HER2_PREDICT_IMAGES_OK images=${results.size()} failed=${failed.size()}"

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
