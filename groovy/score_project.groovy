/**
 * Score HER2 in the images of the open project: all of them, those without a score, or those that you name.
 *
 * REQUIRES  an open project (Extensions > HER2, or Run), or headless: `QuPath script score_project.groovy
 *           -p project.qpproj` (QuPath runs the script once per image; the first run scores them all). The `lib` folder
 *           next to this script, and a Python with qupath-her2 (see check_setup.groovy).
 * READS     annotations, pixel size and stains of the images; their pixels (in Python)
 * WRITES    her2/ next to the project; each image's objects, data file and metadata, all of it or nothing. Your own
 *           objects stay as they are, and HER2 cells that you edited keep your edits. Cancel keeps what is finished.
 * STEPS     1. export the regions  2. detect, measure and score cells in Python  3. write cells, classes, measurements
 *           and score to each image, while Python scores the next  4. show the scores
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
// cells: "cells=unet" (a network) or "cells=from-regions" (those that the image has);
// images: "scope=unscored", or "image=case07.svs" for each (an image's entry ID does as well: "entry=7");
// "workers=2": images scored at once, else as many as cores and memory allow
def options = []
// Headless, pass them as `--args`: --args her2=/data/her2 --args site=gastric
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
if (getProject() == null)
    throw new IllegalStateException("No project is open, so there is nothing to score. Open one " +
        "(File > Project > Open project).")

def settings = options + (args as List<String>)
def scoring = her2("Her2Scoring").ofProject(getProject(), getCurrentImageData(), exchangeFolder, settings)
// Over a project QuPath runs this script once per image; the first run has scored them all.
def isLater = (binding.variables["qupath.script.batchIndex"] ?: 0) > 0
def results = isLater ? [] : scoring.scoreAll()
def failed = results.findAll { it.state == "failed" }
def scored = results.findAll { it.score != null && it.score != "not assessable" }
def notReached = results.findAll { her2("Her2Scores").isNotReached(it) }
def message = her2("Her2Scores").table(results)
if (failed)
    throw new IllegalStateException(message)
if (!isLater) {
    println message
    def what = notReached ? "cancelled, " : ""
    her2("Her2Window").showTable("HER2: $what${scored.size()} of ${results.size()} images scored", message)
}
if (notReached)
    println "HER2_SCORE_PROJECT_CANCELLED images=${results.size()} scored=${scored.size()}"
else
    println "HER2_SCORE_PROJECT_OK images=${results.size()} scored=${scored.size()} failed=${failed.size()}"

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
