/**
 * Score HER2 in the selected annotation of the open image, whatever its class, at once: one field of view takes about a
 * second while the service of qupath-her2 runs, which this script starts.
 *
 * REQUIRES  an open project and image, one annotation or TMA core selected (Extensions > HER2 > Score selection, or
 *           Run), or headless: `QuPath script score_selection.groovy -p project.qpproj -i image
 *           --args annotation=UUID`. The `lib` folder next to this script, and a Python with qupath-her2 and its
 *           service (see check_setup.groovy); without the service, Python is started for each field.
 * READS     annotations, pixel size and stains of the image; its pixels (in Python)
 * WRITES    her2/fields/<annotation>/; the annotation's measurements and cells, data file, all of it or nothing. The
 *           score of the image and the project's columns stay; cells of the same annotation are replaced, and those
 *           that you edited stay.
 * STEPS     1. export the regions  2. detect, measure and score the cells in Python  3. write cells, classes and
 *           measurements to the image  4. show the result
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // folder for the results; "" is the folder her2 next to the project file
// e.g. ["site=gastric", "specimen=biopsy", "guideline=breast-2013", "profile=lab-a", "cells=unet"]; without
// "annotation=UUID", the selected annotation is scored
def options = []
// Headless, pass them as `--args`: --args annotation=0f4df1a6-7b54-4a3b-9a86-0d6f2c1c7b11 --args site=gastric
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def entry = getProjectEntry()
if (entry == null)
    throw new IllegalStateException(her2("Her2Scope").noImage(getProject(), "there is nothing to score"))

def settings = options + (args as List<String>)
def kinds = [Project, ImageData, String, List] as Class[]
def scoring = her2("Her2SelectionScoring").getConstructor(kinds)
    .newInstance(getProject(), getCurrentImageData(), exchangeFolder, settings)
def result = scoring.score()
println result.message
println "HER2_SCORE_SELECTION_OK state=${result.state} ${her2("Her2Status").closingWords(result)}"

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
