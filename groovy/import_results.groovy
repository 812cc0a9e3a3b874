/**
 * Put HER2 results of the exchange folder into the open image: cells, classes, measurements, score.
 *
 * REQUIRES  an open project and an open image (Run, or *Run for project* for all of them), or headless
 *           `QuPath script import_results.groovy -p project.qpproj`. The folder `lib` lies beside this script.
 * READS     her2/images.json and the run that counts in her2/results/<image>/
 * WRITES    the image's objects, data file and metadata (HER2 score …), all of it or nothing, and her2/status/import/.
 *           Objects of yours stay as they are; cells of ours that you changed stay as you changed them.
 * STEPS     1. read and check the result  2. change the image  3. save data, then metadata  4. say what was done
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // where the results are; "" is the folder her2 beside the project file
def runFolder = ""          // one run to import, whichever image it is of; "" is the run that counts for the open image
def dryRun = false          // only say what would change
// Headless they can be given as `--args`: --args her2=/data/her2 --args dryRun
//                                         --args run=/data/her2/results/1_case/0123456789a
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def project = getProject()
if (project == null)
    throw new IllegalStateException("No project is open, so there is nothing to import into. Open one " +
        "(File > Project > Open project), or start QuPath with: script import_results.groovy -p project.qpproj")

def words = her2("Her2Words").read(args as List<String>, [her2: exchangeFolder, run: runFolder, dryRun: dryRun])
def entry = getProjectEntry()
if (entry == null && !words.run)
    throw new IllegalStateException("No image of the project is open. Open one, or use Run > Run for project.")

def folder = her2("Her2Words").exchangeFolder(project, words.her2)
def door = her2("Her2Import").getConstructor(Project, File).newInstance(project, folder)
door.dryRun = words.dryRun
door.open = her2("Her2Window").open(project, getCurrentImageData())
if (!words.dryRun)
    her2("Her2Window").askAboutChanges(words.run ? door.open.values() : [getCurrentImageData()], "the results")
def found = her2("Her2Status").of(folder, "import", entry?.getID()) {
    words.run ? door.pushRun(new File(words.run)) : door.push(entry)
}
her2("Her2Window").refresh()
if (her2("Her2Window").shows(getCurrentImageData()))
    her2("Her2Window").tell("HER2", found.message)
println found.message
println "HER2_IMPORT_RESULTS_OK state=${found.state} ${her2("Her2Status").words(found)}"

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
