/**
 * Add the classes that qupath-her2 uses to the class list of the open project.
 *
 * REQUIRES  an open project in QuPath's window, or headless: `QuPath script create_classes.groovy -p project.qpproj`
 *           (QuPath runs it once per image, so add `-i "one image name"`; it never runs on a project without images)
 * READS     the project's class list
 * WRITES    the missing classes at the end of that list, and saves the project; nothing if none is missing. Classes
 *           already listed keep their place and colour.
 * STEPS     1. find the missing classes  2. set their colours  3. save  4. show them in QuPath's window
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import java.awt.image.BufferedImage
import org.slf4j.LoggerFactory
import qupath.fx.dialogs.Dialogs
import qupath.fx.utils.FXUtils
import qupath.lib.common.ColorTools
import qupath.lib.gui.QuPathGUI
import qupath.lib.objects.classes.PathClass
import qupath.lib.projects.Project
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
// Class: [red, green, blue], 0..255. The colours of Tumor?, In situ and Control are ours, all others QuPath's own.
def colours = [
    "Tumor"          : [200, 0, 0],
    "Tumor?"         : [255, 0, 160],      // proposed: not scored before you set its class to Tumor
    "Tumor: Negative": [90, 90, 180],      // score 0; QuPath has no class "0"
    "Tumor: 1+"      : [255, 215, 0],
    "Tumor: 2+"      : [225, 150, 50],
    "Tumor: 3+"      : [200, 50, 50],
    "Stroma"         : [150, 200, 150],
    "Ignore*"        : [180, 180, 180],    // excluded, like every class whose name ends in *
    "In situ"        : [0, 160, 200],      // excluded: only invasive tumour is scored
    "Control"        : [255, 105, 180],    // excluded: control tissue on the slide
]
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
def logger = LoggerFactory.getLogger("qupath-her2")

def project = getProject()
if (project == null)
    throw new IllegalStateException("No project is open, so there is no class list to add to. Open one " +
        "(File > Project > Open project), or start QuPath with: script create_classes.groovy -p project.qpproj")

List<PathClass> kept = listedClasses(project)
List<PathClass> added = missingClasses(colours, kept)
if (!added.isEmpty()) {
    saveClasses(project, added)
    showInWindow(project, added)
    logger.info("Added classes {}", added)
}
Dialogs.showInfoNotification("HER2", "${added.size()} classes added, ${colours.size() - added.size()} already listed.")
println "HER2_CREATE_CLASSES_OK added=${added.size()} kept=${kept.size()}"

/** The project's classes in order, without the "Unclassified" entry that QuPath's window adds. */
List<PathClass> listedClasses(Project<BufferedImage> project) {
    return project.getPathClasses().findAll { it != null && it != PathClass.NULL_CLASS }
}

/** The classes of `colours` that are not `listed`, with their colours set. */
List<PathClass> missingClasses(Map<String, List<Integer>> colours, List<PathClass> listed) {
    // Creating `Tumor: 3+` also creates `Tumor`, in a random colour, and a colour passed on creation is then ignored.
    def missing = colours.collectEntries { name, rgb -> [(PathClass.fromString(name, null)): rgb] }
    missing.keySet().removeAll(listed)
    missing.each { pathClass, rgb -> pathClass.setColor(ColorTools.packRGB(rgb[0], rgb[1], rgb[2])) }
    return new ArrayList<PathClass>(missing.keySet())
}

/** Append the classes to the project's list and save it; if saving fails, the list stays as it was. */
void saveClasses(Project<BufferedImage> project, List<PathClass> added) {
    def before = new ArrayList<PathClass>(project.getPathClasses())
    project.setPathClasses(before + added)
    try {
        // setPathClasses only logs a file that cannot be written; this call throws.
        project.syncChanges()
    } catch (IOException e) {
        project.setPathClasses(before)
        // No cause is passed on: QuPath would show the cause's message instead of this one.
        throw new IOException("The classes could not be saved in ${project.getPath()}: ${e}. Close other programs " +
            "that have the project open and check that its folder is writable, then run this again.")
    }
}

/** Append the classes to the list in QuPath's window, if there is one and it shows this project. */
void showInWindow(Project<BufferedImage> project, List<PathClass> added) {
    def window = QuPathGUI.getInstance()
    if (window == null || !window.getProject().is(project))
        return
    FXUtils.runOnApplicationThread {
        def shown = window.getAvailablePathClasses()
        shown.addAll(added.findAll { !shown.contains(it) })
    }
}
