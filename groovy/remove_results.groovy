/**
 * Remove everything that qupath-her2 added to the open image.
 *
 * REQUIRES  an open project and image (Run, or *Run for project* for all images), or headless:
 *           `QuPath script remove_results.groovy -p project.qpproj`. The `lib` folder next to this script.
 * READS     the runs in her2/results/<image>/, to tell what you edited from what nobody touched
 * WRITES    the image's objects, data file and metadata, all of it or nothing, and her2/status/remove/. Existing cells
 *           that were classified in place get their previous class back; HER2 cells that you edited stay.
 * STEPS     1. find the HER2 objects; ask, in QuPath's window  2. change the image  3. save data, then metadata
 *           4. show what changed
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // folder of the results; "" is the folder her2 next to the project file
def dryRun = false          // report what would change, without changing anything
// Headless, pass them as `--args`: --args her2=/data/her2 --args dryRun
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def entry = getProjectEntry()
if (entry == null)
    throw new IllegalStateException(her2("Her2Scope").noImage(getProject(), "there is nothing to remove"))

def settings = her2("Her2Arguments").parse(args as List<String>, [her2: exchangeFolder, dryRun: dryRun])
def folder = her2("Her2Arguments").exchangeFolder(getProject(), settings.her2)
def importer = her2("Her2Import").getConstructor(Project, File).newInstance(getProject(), folder)
importer.open = [(entry.getID()): getCurrentImageData()]
if (!settings.dryRun && her2("Her2Window").isShown(getCurrentImageData())) {
    importer.dryRun = true
    her2("Her2Window").confirmRemoval(getCurrentImageData(), importer.remove(entry))
}
importer.dryRun = settings.dryRun
def result = her2("Her2Status").record(folder, "remove", entry.getID()) { importer.remove(entry) }
her2("Her2Window").refreshProject()
if (her2("Her2Window").isShown(getCurrentImageData()))
    her2("Her2Window").show("HER2", result.message)
println result.message
println "HER2_REMOVE_RESULTS_OK state=${result.state} ${her2("Her2Status").closingWords(result)}"

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
