import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.util.function.BooleanSupplier
import java.util.function.Consumer
import java.util.function.Supplier
import javafx.application.Platform
import javafx.beans.property.StringProperty
import javafx.beans.value.ChangeListener
import javafx.event.EventHandler
import javafx.geometry.Insets
import javafx.geometry.Pos
import javafx.geometry.Rectangle2D
import javafx.scene.Scene
import javafx.scene.control.CheckBox
import javafx.scene.control.Label
import javafx.scene.control.ScrollPane
import javafx.scene.control.Tab
import javafx.scene.control.TabPane
import javafx.scene.control.TextField
import javafx.scene.control.TextInputControl
import javafx.scene.control.Tooltip
import javafx.scene.input.KeyCode
import javafx.scene.input.KeyEvent
import javafx.scene.layout.HBox
import javafx.scene.layout.Priority
import javafx.scene.layout.VBox
import javafx.stage.Screen
import javafx.stage.Stage
import org.slf4j.LoggerFactory
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.images.ImageData

/**
 * The window *Review…*: it stays open beside the image, follows it when another one is opened, and takes the keys of
 * its tab, in QuPath's main window too.
 */
@CompileStatic
class Her2ReviewWindow {

    private static final String READER = "her2Reader"
    /** Lines of Python's answer that are kept. */
    private static final int KEPT_LINES = 60
    private static final double WIDTH = 430
    private static final double HEIGHT = 760
    /** Keys that QuPath's main window passes on to the review; the others are QuPath's own. */
    private static final List<KeyCode> SHARED = [
        KeyCode.DIGIT0, KeyCode.DIGIT1, KeyCode.DIGIT2, KeyCode.DIGIT3, KeyCode.NUMPAD0, KeyCode.NUMPAD1,
        KeyCode.NUMPAD2, KeyCode.NUMPAD3, KeyCode.X, KeyCode.U,
    ].asImmutable()

    private static Her2ReviewWindow shown

    final QuPathGUI window
    private final Stage stage = new Stage()
    private final StringProperty reader = PathPrefs.createPersistentPreference(READER, System.getProperty("user.name"))
    private final TextField readerField = new TextField()
    private final CheckBox blind = new CheckBox("Blind")
    private final Label message = Her2ReviewPane.paragraph("")
    private final TabPane tabs = new TabPane()
    private final List<Her2ReviewPane> panes
    private final EventHandler<KeyEvent> keys = { KeyEvent event -> take(event) } as EventHandler<KeyEvent>
    private final EventHandler<KeyEvent> sharedKeys = { KeyEvent event ->
        if (event.getCode() in SHARED)
            take(event)
    } as EventHandler<KeyEvent>
    private final ChangeListener<ImageData<BufferedImage>> follower = { observed, before, now ->
        follow()
    } as ChangeListener<ImageData<BufferedImage>>
    private Her2ReviewImage image

    private Her2ReviewWindow(QuPathGUI window) {
        this.window = window
        panes = [new Her2ReviewCellsPane(this), new Her2RegionsPane(this), new Her2CutPointsPane(this),
                 new Her2CorrectionsPane(this), new Her2ConflictsPane(this)]
    }

    /** Show the window, on the JavaFX thread; there is one at a time. */
    static void open(QuPathGUI window) {
        if (shown == null) {
            Her2ReviewImage.of(window)
            shown = new Her2ReviewWindow(window)
            shown.build()
        }
        shown.stage.show()
        shown.stage.toFront()
        // In a text field the keys would be letters of it.
        shown.tabs.requestFocus()
    }

    private void build() {
        for (Her2ReviewPane pane : panes) {
            ScrollPane scrolled = new ScrollPane(pane)
            scrolled.setFitToWidth(true)
            scrolled.setStyle("-fx-background-color: transparent;")
            Tab tab = new Tab(pane.title(), scrolled)
            tab.setClosable(false)
            tabs.getTabs().add(tab)
        }
        tabs.getSelectionModel().selectedIndexProperty().addListener({ observed, before, now ->
            activate()
        } as ChangeListener<Number>)
        VBox.setVgrow(tabs, Priority.ALWAYS)
        message.setPadding(new Insets(0, 12, 10, 12))
        stage.setTitle("HER2: review")
        stage.initOwner(window.getStage())
        stage.setScene(new Scene(new VBox(head(), tabs, message), WIDTH, HEIGHT))
        stage.getScene().addEventFilter(KeyEvent.KEY_PRESSED, keys)
        window.getStage().getScene().addEventFilter(KeyEvent.KEY_PRESSED, sharedKeys)
        window.imageDataProperty().addListener(follower)
        stage.setOnHidden { end() }
        place()
        follow()
    }

    /** Beside QuPath's window where the screen has room, else over its panel on the left: never over the cell. */
    private void place() {
        Stage main = window.getStage()
        Rectangle2D screen = Screen.getScreensForRectangle(main.getX(), main.getY(), main.getWidth(),
            main.getHeight())[0].getVisualBounds()
        double right = main.getX() + main.getWidth()
        stage.setX(right + WIDTH <= screen.getMaxX() ? right : Math.max(screen.getMinX(), main.getX() - WIDTH + 380))
        stage.setY(Math.max(screen.getMinY(), Math.min(main.getY() + 60, screen.getMaxY() - HEIGHT)))
    }

    private HBox head() {
        readerField.setText(reader.get())
        readerField.setTooltip(new Tooltip("Your name, kept with each answer and each round of corrections."))
        readerField.focusedProperty().addListener({ observed, before, isFocused ->
            if (!isFocused)
                rename()
        } as ChangeListener<Boolean>)
        readerField.setOnAction { tabs.requestFocus() }
        blind.setTooltip(new Tooltip("Hide the machine's class and colours, and the reason why a cell is asked. Your " +
            "answers are kept in a list; classes in the image stay as they are."))
        blind.selectedProperty().addListener({ observed, before, now -> activate() } as ChangeListener<Boolean>)
        HBox row = new HBox(10, new Label("Reader"), readerField, blind)
        row.setAlignment(Pos.CENTER_LEFT)
        row.setPadding(new Insets(12, 12, 6, 12))
        HBox.setHgrow(readerField, Priority.ALWAYS)
        return row
    }

    private void rename() {
        String name = readerField.getText().trim()
        if (name.isEmpty() || name == reader.get()) {
            readerField.setText(reader.get())
            return
        }
        reader.set(name)
        follow()
    }

    String readerName() {
        return reader.get()
    }

    boolean isBlind() {
        return blind.isSelected()
    }

    /** Show the open image in all tabs. */
    void follow() {
        attempt {
            image = null
            try {
                image = Her2ReviewImage.of(window)
            } finally {
                for (Her2ReviewPane pane : panes)
                    pane.show(image)
                activate()
            }
        }
    }

    private void activate() {
        int chosen = tabs.getSelectionModel().getSelectedIndex()
        // The others first: a tab that is left gives QuPath its own colours back.
        for (int i = 0; i < panes.size(); i++)
            if (i != chosen)
                panes[i].setActive(false)
        panes[chosen].setActive(true)
    }

    private void take(KeyEvent event) {
        boolean isTyping = event.getTarget() instanceof TextInputControl
        if (isTyping || event.isShortcutDown() || event.isAltDown())
            return
        attempt {
            if (panes[tabs.getSelectionModel().getSelectedIndex()].take(event.getCode()))
                event.consume()
        }
    }

    /** Do something, and say in the window why it failed. */
    void attempt(Runnable work) {
        try {
            say("")
            work.run()
        } catch (Her2Refusal | IllegalStateException problem) {
            say(Her2Words.inQuPath(problem.message))
        } catch (RuntimeException | IOException problem) {
            LoggerFactory.getLogger("qupath-her2").error("Review", problem)
            say("Unexpected ${problem.class.simpleName}: ${problem.message}. View > Show log has the details.")
        }
    }

    /**
     * Run Python in the background, and go on on the JavaFX thread.
     *
     * @param words gives the arguments, in the background
     * @param what shown while Python works
     * @param after takes the lines that it said
     * @param done called at the end, whether it worked or not
     */
    void background(Supplier<List<String>> words, String what, Consumer<List<String>> after, Runnable done) {
        File folder = image.her2
        Thread.startDaemon("HER2 review") {
            List<String> said = []
            String problem = null
            try {
                List<String> arguments = words.get()
                Platform.runLater { say("$what…") }
                said.addAll(linesOf(arguments, folder))
            } catch (Exception thrown) {
                LoggerFactory.getLogger("qupath-her2").error("Review", thrown)
                problem = thrown.message ?: thrown.toString()
            }
            Platform.runLater {
                done.run()
                say(problem == null ? "" : Her2Words.inQuPath(problem))
                if (problem == null)
                    attempt { after.accept(said) }
            }
        }
    }

    private static List<String> linesOf(List<String> arguments, File folder) {
        List<String> said = []
        Her2PythonRun run = new Her2PythonRun(Her2Python.find(), arguments, folder, KEPT_LINES)
        run.results = [0]
        run.await({ false } as BooleanSupplier) { JsonObject event -> said.add(event.toString()) }
        return said + run.lastLines()
    }

    /** Show the open image again after something else changed it; on any thread. */
    static void update() {
        Platform.runLater {
            if (shown != null)
                shown.follow()
        }
    }

    /** A round was written: conflicts that were listed before may be others now. */
    void collected() {
        for (Her2ReviewPane pane : panes)
            if (pane instanceof Her2ConflictsPane)
                ((Her2ConflictsPane) pane).forget()
    }

    /** Show a sentence below the tabs. */
    void say(String words) {
        message.setText(words)
    }

    private void end() {
        window.imageDataProperty().removeListener(follower)
        window.getStage().getScene().removeEventFilter(KeyEvent.KEY_PRESSED, sharedKeys)
        for (Her2ReviewPane pane : panes) {
            pane.setActive(false)
            pane.show(null)
        }
        shown = null
    }
}
