// Writes to the file of -Dher2.watch, twice a second, what QuPath's window shows: texts with their screen positions, and
// the objects of the open image. A file of that name plus .do holds a number and lines of Groovy, which are run on the
// JavaFX thread; their value is written to .done. First it sets the user directory (-Dher2.user) and runs a script
// (-Dher2.first).
import com.google.gson.GsonBuilder
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import javafx.application.Platform
import javafx.scene.Node
import javafx.scene.Parent
import javafx.scene.control.Labeled
import javafx.scene.control.TextInputControl
import javafx.scene.text.Text
import javafx.stage.Stage
import javafx.stage.Window
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.gui.prefs.PathPrefs

def qupath = QuPathGUI.getInstance()
if (System.getProperty("her2.user"))
    UserDirectoryManager.getInstance().setUserPath(Path.of(System.getProperty("her2.user")))

def texts(Node node, List found) {
    if (!node.isVisible())
        return
    def text = node instanceof Labeled || node instanceof Text ? node.getText() : node instanceof TextInputControl ? node.getText() : null
    def at = text ? node.localToScreen(node.getBoundsInLocal()) : null
    if (at != null)
        found << [text: text, kind: node.getClass().getSimpleName(), x: at.getCenterX(), y: at.getCenterY()]
    if (node instanceof Parent)
        node.getChildrenUnmodifiable().each { texts(it, found) }
}

def state(QuPathGUI qupath) {
    def found = [], objects = [:]
    Window.getWindows().findAll { it.isShowing() && it.getScene() != null }.each { texts(it.getScene().getRoot(), found) }
    def image = qupath.getImageData()
    def entry = image == null ? null : qupath.getProject()?.getEntry(image)
    if (image != null) {
        objects.cells = image.getHierarchy().getCellObjects().size()
        objects.classes = image.getHierarchy().getCellObjects().countBy { String.valueOf(it.getPathClass()) }
        objects.regions = image.getHierarchy().getAnnotationObjects().collect { it.getMeasurements() as Map }
        objects.unsaved = image.isChanged()
        objects.steps = image.getHistoryWorkflow().getSteps().collect { it.getName() }
    }
    def titles = Window.getWindows().findAll { it instanceof Stage && it.isShowing() }.collect { it.getTitle() }
    return [texts: found, titles: titles, image: entry?.getImageName(), objects: objects, metadata: entry?.getMetadataMap() ?: [:],
            listed: qupath.getAvailablePathClasses().collect { String.valueOf(it) }, startup: PathPrefs.startupScriptProperty().get()]
}

void write(Path file, Object content) {
    def draft = file.resolveSibling(file.fileName.toString() + ".tmp")
    Files.writeString(draft, new GsonBuilder().serializeSpecialFloatingPointValues().serializeNulls().create().toJson(content))
    Files.move(draft, file, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE)
}

/** Run lines, and write what they give, or why they failed. */
void answer(Path file, QuPathGUI qupath, String text) {
    def words = text.split("\n", 2)
    def found = [number: words[0] as int]
    try {
        found.value = Eval.me("qupath", qupath, words[1])
    } catch (Throwable problem) {
        problem.printStackTrace()
        found.problem = problem.toString()
    }
    write(file.resolveSibling(file.fileName.toString() + ".done"), found)
}

def file = Path.of(System.getProperty("her2.watch"))
def commands = new File(file.toString() + ".do")
Thread.startDaemon("watch") {
    while (true) {
        Thread.sleep(500)
        // Set by lines that measure time: reading a large image's objects takes some.
        if (System.getProperty("her2.quiet") != null)
            continue
        Platform.runLater {
            try {
                write(file, state(qupath))
                if (commands.isFile()) {
                    def text = commands.text
                    commands.delete()
                    answer(file, qupath, text)
                }
            } catch (Throwable problem) {
                problem.printStackTrace()
            }
        }
    }
}
if (System.getProperty("her2.first"))
    qupath.runScript(new File(System.getProperty("her2.first")), null)
