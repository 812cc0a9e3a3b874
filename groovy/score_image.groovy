/**
 * Score HER2 in the open image: detect the cells of its Tumor regions, measure them and write the results back.
 *
 * REQUIRES  an open project and image (Extensions > HER2, Run, or *Run for project* for all images), or headless:
 *           `QuPath script score_image.groovy -p project.qpproj`. The `lib` folder next to this script, and a Python
 *           with qupath-her2 (see check_setup.groovy).
 * READS     annotations, pixel size and stains of the image; its pixels (in Python)
 * WRITES    her2/ next to the project; the image's objects, data file and metadata, all of it or nothing. Your own
 *           objects stay as they are, and HER2 cells that you edited keep your edits.
 * STEPS     1. export the regions  2. detect, measure and score cells in Python  3. write cells, classes, measurements
 *           and score to the image  4. show the result
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // folder for the results; "" is the folder her2 next to the project file
// e.g. ["site=gastric", "specimen=biopsy", "guideline=breast-2013", "pixel-size-um=0.25", "whole-tissue"]; with
// "find-tumour", tumour is searched for in images without a Tumor region, and scored though nobody has confirmed it;
// with "replace-lost", HER2 objects whose result is gone from her2/ are replaced, with all edits in them;
// cells: "cells=unet" (a network) or "cells=from-regions" (those that the image has); "workers=2": tiles at once
def options = []
// Headless, pass them as `--args`: --args her2=/data/her2 --args site=gastric
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def entry = getProjectEntry()
if (entry == null)
    throw new IllegalStateException(her2("Her2Scope").noImage(getProject(), "there is nothing to score"))

def settings = options + (args as List<String>)
def scoring = her2("Her2Scoring").of(getProject(), getCurrentImageData(), exchangeFolder, settings)
def result = scoring.scoreOne(entry)
println result.message
println "HER2_SCORE_IMAGE_OK state=${result.state} ${her2("Her2Status").closingWords(result)}"

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
