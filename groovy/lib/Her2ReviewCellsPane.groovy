import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.util.function.Consumer
import java.util.function.Supplier
import javafx.beans.property.BooleanProperty
import javafx.scene.control.Button
import javafx.scene.control.CheckBox
import javafx.scene.control.Label
import javafx.scene.control.ProgressBar
import javafx.scene.input.KeyCode
import javafx.scene.layout.HBox
import javafx.scene.layout.Priority
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.gui.viewer.OverlayOptions
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.objects.PathObject
import qupath.lib.projects.ProjectImageEntry

/**
 * The tab *Cells*: one cell after the other, a key or button for each answer.
 */
@CompileStatic
class Her2ReviewCellsPane extends Her2ReviewPane {

    /** Cells asked where no queue was chosen. */
    private static final int NEAR_CELLS = 60
    /** The first cell is shown at this many pixels of the image per pixel of the screen, or finer if it was finer. */
    private static final double CLOSE = 0.5d
    private static final Map<KeyCode, String> KEYS = [
        (KeyCode.DIGIT0): "0", (KeyCode.NUMPAD0): "0", (KeyCode.DIGIT1): "1+", (KeyCode.NUMPAD1): "1+",
        (KeyCode.DIGIT2): "2+", (KeyCode.NUMPAD2): "2+", (KeyCode.DIGIT3): "3+", (KeyCode.NUMPAD3): "3+",
        (KeyCode.X): "x",
    ].asImmutable()
    private static final Map<String, String> BUTTONS =
        ["0": "0", "1+": "1+", "2+": "2+", "3+": "3+", "x": "X: not a tumour cell"].asImmutable()

    private final BooleanProperty isGoingOn = PathPrefs.createPersistentPreference("her2ReviewGoesOn", false)
    private final Label source = paragraph("")
    private final ProgressBar bar = new ProgressBar(0)
    private final Label progress = new Label("")
    private final Label told = paragraph("")
    private final Label why = paragraph("")
    private final CheckBox outlines = new CheckBox("Draw the outlines of cells (D in QuPath)")
    private final Map<String, Button> answers = [:]

    private Her2ReviewImage image
    private Her2ReviewSession session
    private Her2ReviewQueue queue
    private Map<UUID, PathObject> cells = [:]
    private boolean isActive
    private boolean isClose

    Her2ReviewCellsPane(Her2ReviewWindow home) {
        super(home)
        progress.setStyle("-fx-font-weight: bold;")
        told.setStyle("-fx-font-size: 1.15em;")
        bar.setMaxWidth(Double.MAX_VALUE)
        HBox.setHgrow(bar, Priority.ALWAYS)
        HBox classes = new HBox(6)
        for (Map.Entry<String, String> item : BUTTONS.entrySet()) {
            String value = item.key
            Button button = keyButton(item.value) { answer(value) }
            answers.put(value, button)
            classes.getChildren().add(button)
        }
        HBox steps = new HBox(6, keyButton("Next cell (space)") { next() }, keyButton("Undo (U)") { undo() })
        CheckBox goesOn = new CheckBox("Go on to the next cell after an answer")
        goesOn.selectedProperty().bindBidirectional(isGoingOn)
        getChildren().addAll(source, new HBox(10, progress, bar), told, why, classes, steps, goesOn, outlines,
            keyButton("Choose cells of the project") { chooseCells() },
            paragraph("Keys: 0 1 2 3, X, U and space; all but space also while QuPath's main window is in front."))
    }

    @Override
    String title() {
        return "Cells"
    }

    @Override
    void show(Her2ReviewImage image) {
        if (this.image != null) {
            Her2ReviewMark.show(this.image.viewer, null)
            outlines.selectedProperty().unbindBidirectional(options().showDetectionsProperty())
            Her2ReviewColours.show(options(), null)
        }
        boolean isSame = image != null && this.image != null && image.image.is(this.image.image)
        this.image = image
        setDisable(image == null)
        queue = null
        if (image == null)
            return
        Her2ReviewLabels labels = new Her2ReviewLabels(image.her2, home.readerName())
        session = new Her2ReviewSession(image.image, image.project, labels)
        queue = queue(labels.answered())
        isClose = isClose && isSame
        cells = cellsOf(queue)
        outlines.selectedProperty().bindBidirectional(options().showDetectionsProperty())
        source.setText(queue.source)
        refresh()
    }

    private OverlayOptions options() {
        return image.viewer.getOverlayOptions()
    }

    private Her2ReviewQueue queue(Set<String> answered) {
        List<Her2ReviewItem> chosen = Her2ReviewQueue.read(image.her2, image.id)
        if (chosen != null && !chosen.isEmpty())
            return new Her2ReviewQueue(chosen, "${chosen.size()} cells of the project's queue.", answered)
        Her2CellColumns columns = Her2CellColumns.of(image.image)
        List<Her2ReviewItem> near =
            Her2NearCells.choose(columns, Her2CutPoints.ofRun(image.run), image.id, NEAR_CELLS)
        return new Her2ReviewQueue(near, "No queue was chosen for the project, so the ${near.size()} cells of this " +
            "image nearest to its cut-points are asked.", answered)
    }

    private Map<UUID, PathObject> cellsOf(Her2ReviewQueue queue) {
        Set<UUID> wanted = new HashSet<UUID>(queue.items.collect { Her2ReviewItem it -> it.id })
        Map<UUID, PathObject> found = new HashMap<UUID, PathObject>()
        for (PathObject cell : image.image.getHierarchy().getDetectionObjects())
            if (wanted.contains(cell.getID()))
                found.put(cell.getID(), cell)
        return found
    }

    @Override
    void setActive(boolean isActive) {
        this.isActive = isActive
        if (image == null)
            return
        Her2ReviewColours.show(options(), isActive && home.isBlind() ? Her2ReviewColours.neutral() : null)
        if (isActive && home.isBlind())
            // QuPath shows the class of a selected cell beside its measurements.
            image.image.getHierarchy().getSelectionModel().clearSelection()
        refresh()
    }

    @Override
    boolean take(KeyCode key) {
        if (image == null)
            return false
        if (key == KeyCode.SPACE)
            next()
        else if (key == KeyCode.U)
            undo()
        else if (KEYS.containsKey(key))
            answer(KEYS.get(key))
        else
            return false
        return true
    }

    /** Have Python choose the cells of all images whose review teaches most. */
    private void chooseCells() {
        List<String> words = ["review", "queue", image.project.getPath().toString(), "--cells",
                              NEAR_CELLS.toString(), "--out", image.her2.getPath()]
        home.background({ words } as Supplier<List<String>>, "Choosing cells",
            { List<String> lines -> home.follow() } as Consumer<List<String>>, { } as Runnable)
    }

    private void next() {
        Her2ReviewItem item = queue.next()
        while (item != null && item.image == image.id && !cells.containsKey(item.id)) {
            home.say("A cell of the queue is no longer in the image and was left out.")
            item = queue.next()
        }
        if (item != null && item.image != image.id)
            openOther(item)
        else
            refresh()
    }

    /** Go on in the next image; QuPath itself asks whether changes of this one are saved. */
    private void openOther(Her2ReviewItem item) {
        ProjectImageEntry<BufferedImage> other = image.entryOf(item.image)
        if (other == null)
            throw new Her2Refusal("Image '${item.image}' of the queue is no longer in the project. Choose the cells " +
                "again.")
        if (home.window.openImageEntry(other)) {
            queue.show(queue.items.find { Her2ReviewItem it -> it.image == item.image })
            next()
        }
    }

    private void answer(String value) {
        Her2ReviewItem item = queue.current()
        if (item == null || item.image != image.id) {
            next()
            return
        }
        session.answer(item, cells.get(item.id), value, home.isBlind())
        queue.setAnswered(item, true)
        if (isGoingOn.get())
            next()
        else
            refresh()
    }

    private void undo() {
        Her2ReviewItem item = session.undo()
        if (item == null) {
            home.say("There is nothing to undo in this image.")
            return
        }
        queue.setAnswered(item, false)
        queue.show(item)
        refresh()
    }

    private void refresh() {
        if (image == null || queue == null)
            return
        Her2ReviewItem item = queue.current()
        int total = queue.items.size()
        progress.setText("${queue.number()} of $total · ${queue.answeredCount()} answered".toString())
        bar.setProgress(total == 0 ? 0 : (double) queue.answeredCount() / total)
        for (Button button : answers.values())
            button.setDisable(item == null)
        PathObject cell = item == null ? null : cells.get(item.id)
        boolean isShown = cell != null && isActive
        Her2ReviewMark.show(image.viewer, isShown ? new Her2ReviewMark(image.image, cell.getROI()) : null)
        if (!isShown) {
            why.setText("")
            told.setText(queue.answeredCount() == total ? "All cells are answered." :
                queue.number() == total ? "That was the last cell." : "Press Next cell to begin.")
            return
        }
        told.setText(stateOf(item, cell))
        why.setText(home.isBlind() ? "" : "Asked because: ${item.why}".toString())
        centre(cell)
    }

    private String stateOf(Her2ReviewItem item, PathObject cell) {
        if (home.isBlind())
            return queue.isAnswered(item) ? "Answered." : "Which class has this cell?"
        String now = Her2Classes.nameOf(cell.getPathClass()) ?: "no class"
        return now == item.className ? "The program says: $now".toString() :
            "Now: $now. The program said: ${item.className}".toString()
    }

    private void centre(PathObject cell) {
        QuPathViewer viewer = image.viewer
        if (!isClose && viewer.getDownsampleFactor() > CLOSE)
            viewer.setDownsampleFactor(CLOSE)
        isClose = true
        viewer.setCenterPixelLocation(cell.getROI().getCentroidX(), cell.getROI().getCentroidY())
        if (!home.isBlind())
            image.image.getHierarchy().getSelectionModel().setSelectedObject(cell)
    }
}
