/**
 * Select cells of the open image by their HER2 staining: those that decide the score, or those of one pattern.
 *
 * REQUIRES  an open image that was scored (Extensions > HER2, or Run). The `lib` folder next to this script.
 * READS     the cells' measurements *HER2: Deciding cell*, *HER2: Membrane pattern* and *HER2: Membrane intensity*
 * WRITES    nothing; the selection changes, as if the cells had been clicked
 * STEPS     1. ask which cells, unless a setting says so  2. select them
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def cells = ""              // e.g. "Deciding cells", "Pattern: complete", "Intensity: faint"; "" asks in a window
// Headless, pass it as `--args`: --args "cells=Pattern: complete"
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def image = getCurrentImageData()
if (image == null)
    throw new IllegalStateException("No image is open, so there are no cells to select. Open one that was scored.")

def selection = her2("Her2Selection")
def choice = her2("Her2Arguments").parse(args as List<String>, [cells: cells]).cells
if (!choice && QuPathGUI.getInstance() != null)
    choice = her2("Her2Window").choose("HER2", "Cells to select", selection.choices())
def count = selection.select(image, choice ?: selection.DECIDING_CELLS)
if (her2("Her2Window").isShown(image))
    Dialogs.showInfoNotification("HER2", "${count} cells selected: ${choice}.")
println "HER2_SELECT_CELLS_OK selected=${count} of=${getDetectionObjects().size()}"

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
