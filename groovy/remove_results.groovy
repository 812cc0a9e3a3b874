/**
 * Take everything that qupath-her2 put into the open image out of it again.
 *
 * REQUIRES  an open project and an open image (Run, or *Run for project* for all of them), or headless
 *           `QuPath script remove_results.groovy -p project.qpproj`. The folder `lib` lies beside this script.
 * READS     the runs in her2/results/<image>/, to tell what you changed from what nobody touched
 * WRITES    the image's objects, data file and metadata, all of it or nothing, and her2/status/remove/. Cells of other
 *           programs that were classified get their earlier class back; cells of ours that you changed stay.
 * STEPS     1. find what is ours  2. change the image  3. save data, then metadata  4. say what was done
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // where the results are; "" is the folder her2 beside the project file
def dryRun = false          // only say what would change
// Headless they can be given as `--args`: --args her2=/data/her2 --args dryRun
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def entry = getProjectEntry()
if (entry == null)
    throw new IllegalStateException("No image of a project is open. Open one, use Run > Run for project, " +
        "or start QuPath with: script remove_results.groovy -p project.qpproj")

def words = her2("Her2Words").read(args as List<String>, [her2: exchangeFolder, dryRun: dryRun])
def folder = her2("Her2Words").exchangeFolder(getProject(), words.her2)
def door = her2("Her2Import").getConstructor(Project, File).newInstance(getProject(), folder)
door.dryRun = words.dryRun
door.open = [(entry.getID()): getCurrentImageData()]
if (!words.dryRun)
    her2("Her2Window").askAboutChanges([getCurrentImageData()], "the removal")
def found = her2("Her2Status").of(folder, "remove", entry.getID()) { door.remove(entry) }
her2("Her2Window").refresh()
if (her2("Her2Window").shows(getCurrentImageData()))
    her2("Her2Window").tell("HER2", found.message)
println found.message
println "HER2_REMOVE_RESULTS_OK state=${found.state} ${her2("Her2Status").words(found)}"

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
