/**
 * Import HER2 results from the exchange folder into the open image: cells, classes, measurements, score.
 *
 * REQUIRES  an open project and image (Run, or *Run for project* for all images), or headless:
 *           `QuPath script import_results.groovy -p project.qpproj`. The `lib` folder next to this script.
 * READS     her2/images.json and the current run in her2/results/<image>/
 * WRITES    the image's objects, data file and metadata (HER2 score etc.), all of it or nothing; her2/status/import/.
 *           Your own objects stay as they are, and HER2 cells that you edited keep your edits.
 * STEPS     1. read and check the result  2. change the image  3. save data, then metadata  4. show what changed
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // folder of the results; "" is the folder her2 next to the project file
def runFolder = ""          // one run to import into the image it belongs to; "" is the open image's current run
def dryRun = false          // report what would change, without changing anything
def replaceLost = false     // also replace HER2 objects whose result is gone from her2/; edits in them are lost
// Headless, pass them as `--args`: --args her2=/data/her2 --args dryRun
//                                  --args run=/data/her2/results/1_case/0123456789a
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def project = getProject()
if (project == null)
    throw new IllegalStateException("No project is open, so there is nothing to import into. Open one " +
        "(File > Project > Open project), or start QuPath with: script import_results.groovy -p project.qpproj")

def defaults = [her2: exchangeFolder, run: runFolder, dryRun: dryRun, "replace-lost": replaceLost]
def settings = her2("Her2Arguments").parse(args as List<String>, defaults)
def entry = getProjectEntry()
if (entry == null && !settings.run)
    throw new IllegalStateException(her2("Her2Scope").noImage(project, "there is nothing to import into"))

def folder = her2("Her2Arguments").exchangeFolder(project, settings.her2)
def importer = her2("Her2Import").getConstructor(Project, File).newInstance(project, folder)
importer.dryRun = settings.dryRun
importer.replacesLost = settings["replace-lost"]
importer.open = her2("Her2Window").openImages(project, getCurrentImageData())
if (!settings.dryRun)
    her2("Her2Window").confirmSaving(settings.run ? importer.open.values() : [getCurrentImageData()], "the results")
def result = her2("Her2Status").record(folder, "import", entry?.getID()) {
    settings.run ? importer.pushRun(new File(settings.run)) : importer.push(entry)
}
her2("Her2Window").refreshProject()
if (her2("Her2Window").isShown(getCurrentImageData()))
    her2("Her2Window").show("HER2", result.message)
println result.message
println "HER2_IMPORT_RESULTS_OK state=${result.state} ${her2("Her2Status").closingWords(result)}"

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
