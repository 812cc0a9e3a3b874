import com.google.gson.JsonObject
import com.google.gson.JsonParser
import groovy.transform.CompileStatic
import java.util.function.Consumer
import java.util.function.Supplier
import javafx.application.Platform
import javafx.beans.value.ChangeListener
import javafx.scene.control.Button
import javafx.scene.control.CheckBox
import javafx.scene.control.ComboBox
import javafx.scene.control.Label
import javafx.scene.control.ListView
import javafx.scene.control.Separator
import javafx.scene.control.TextField
import javafx.scene.input.KeyCode
import javafx.scene.layout.HBox
import javafx.scene.layout.Priority
import javafx.scene.layout.VBox
import qupath.lib.gui.prefs.PathPrefs

/**
 * The tab *Corrections*: the reader's own score of the image, and the round of what she changed.
 */
@CompileStatic
class Her2CorrectionsPane extends Her2ReviewPane {

    /** Metadata of an image that only a person fills in; qupath_her2/review/collect.py reads them. */
    private static final String SCORE = "HER2 reader score"
    private static final String COMMENT = "HER2 reader comment"
    /** Preference: whether saving the image in QuPath collects its corrections. */
    private static final String AT_SAVE = "her2CollectAtSave"
    private static final List<String> SCORES = ["", "0", "1+", "2+", "3+"].asImmutable()

    private final ComboBox<String> score = new ComboBox<String>()
    private final TextField comment = new TextField()
    private final Label kept = paragraph("")
    private final Label found = paragraph("")
    private final ListView<Change> list = new ListView<Change>()
    private final HBox buttons
    private final CheckBox atSave = new CheckBox("Collect whenever this image is saved")
    private final Her2SaveWatch saves = new Her2SaveWatch({ collectSaved() } as Runnable)
    private Her2ReviewImage image

    Her2CorrectionsPane(Her2ReviewWindow home) {
        super(home)
        score.getItems().addAll(SCORES)
        comment.setPromptText("Comment")
        HBox.setHgrow(comment, Priority.ALWAYS)
        buttons = new HBox(6, button("Collect corrections") { collect() },
            button("Show what changed since last round") { showChanges() })
        atSave.selectedProperty().bindBidirectional(PathPrefs.createPersistentPreference(AT_SAVE, true))
        VBox.setVgrow(list, Priority.ALWAYS)
        list.getSelectionModel().selectedItemProperty().addListener({ observed, before, now ->
            home.attempt { centre(list.getSelectionModel().getSelectedItem()) }
        } as ChangeListener<Change>)
        HBox own = new HBox(6, score, comment, button("Keep") { keepScore() })
        getChildren().addAll(heading("My score of this image"), own, kept, new Separator(),
            heading("Corrections of the project"), buttons, atSave, found, list)
    }

    private Button button(String words, Runnable work) {
        Button button = new Button(words)
        button.setMinWidth(USE_PREF_SIZE)
        button.setOnAction { home.attempt(work) }
        return button
    }

    private static Label heading(String words) {
        Label label = new Label(words)
        label.setStyle("-fx-font-weight: bold;")
        return label
    }

    @Override
    String title() {
        return "Corrections"
    }

    @Override
    boolean take(KeyCode key) {
        return false
    }

    @Override
    void show(Her2ReviewImage image) {
        boolean isSame = image != null && this.image != null && image.entry.is(this.image.entry)
        this.image = image
        saves.follow(image)
        setDisable(image == null)
        if (image == null || isSame)
            return
        Map<String, String> metadata = image.entry.getMetadataMap()
        String given = metadata.get(SCORE) ?: ""
        score.setValue(given in SCORES ? given : "")
        comment.setText(metadata.get(COMMENT) ?: "")
        kept.setText(given ? "Your score is $given.".toString() :
            "No score of yours yet. The program never fills it in.")
        list.getItems().clear()
        found.setText("")
    }

    private void keepScore() {
        Her2PendingSave.put(image.entry, SCORE, score.getValue() ?: null)
        Her2PendingSave.put(image.entry, COMMENT, comment.getText().trim() ?: null)
        Her2ProjectFile.save(image.project)
        kept.setText(score.getValue() ? "Your score ${score.getValue()} is kept.".toString() :
            "Your score was removed.")
        Her2Window.refreshProject()
    }

    private void collect() {
        run("collect", ["--no-qupath"]) { List<String> lines -> showCollected("", lines) }
    }

    /** The image was saved; what was changed in it becomes a round, without a question. */
    private void collectSaved() {
        // While a round is being collected the next one would meet its half-read image.
        if (!atSave.isSelected() || buttons.isDisabled())
            return
        Her2Collecting collecting = new Her2Collecting(image, home.readerName(), null)
        background({ collecting.prepareSaved("collect") + ["--no-qupath"] } as Supplier<List<String>>) {
            List<String> lines -> showCollected("At the last save: ", lines)
        }
    }

    private void showCollected(String when, List<String> lines) {
        home.collected()
        found.setText(when + lines.findAll { String it -> it =~ /^(collect|conflict|note) / }
            .collect { String it -> sentence(it) }.join("\n"))
    }

    /** A line of the terminal as a sentence: the folder of a round by its name alone. */
    private static String sentence(String line) {
        return line.replaceAll(/^(?:collect|note) +/, "").replaceAll(/^conflict +/, "Conflict: ")
            .replaceAll(/^.*[\/\\]rounds[\/\\](\S+)/, 'Round $1')
    }

    private void showChanges() {
        run("changes", ["--json"]) { List<String> lines ->
            List<Change> changes = lines.findAll { String it -> it.startsWith("{") }
                .collect { String it -> new Change(JsonParser.parseString(it).getAsJsonObject()) }
            list.getItems().setAll(changes)
            found.setText(changes.isEmpty() ? "Nothing changed since the last round." :
                changes.size() == 1 ? "1 change since the last round; click it to see it." :
                String.format(Locale.ROOT, "%,d changes since the last round; click one to see it.", changes.size()))
        }
    }

    private void run(String verb, List<String> more, Consumer<List<String>> after) {
        Her2ReviewImage of = image
        Her2ReviewWindow window = home
        Consumer<String> progress = { String said -> Platform.runLater { window.say(said) } } as Consumer<String>
        Her2Collecting collecting = new Her2Collecting(of, home.readerName(), progress)
        background({ collecting.prepare(verb) + more } as Supplier<List<String>>, after)
    }

    private void background(Supplier<List<String>> words, Consumer<List<String>> after) {
        buttons.setDisable(true)
        home.background(words, "Comparing", after) {
            buttons.setDisable(false)
            // What was saved on the way is collected already.
            saves.follow(image)
        }
    }

    private void centre(Change change) {
        if (change == null || !change.hasPlace())
            return
        if (change.image != image.id) {
            home.say("Open image '${image.entryOf(change.image)?.getImageName() ?: change.name}' to see it.")
            return
        }
        image.viewer.setCenterPixelLocation(change.x, change.y)
    }

    /** A difference, as Python found it. */
    @CompileStatic
    static final class Change {

        final String image
        final String name
        final double x
        final double y
        private final String words

        Change(JsonObject content) {
            image = Her2Json.text(content, "image")
            name = Her2Json.text(content, "name")
            x = number(Her2Json.text(content, "x"))
            y = number(Her2Json.text(content, "y"))
            String undone = Her2Json.text(content, "is_undone") == "true" ? " (undone)" : ""
            String kind = Her2Json.text(content, "kind")
            // A typed score is its own word.
            words = "$name: ${kind == 'score' ? '' : kind + ' '}${Her2Json.text(content, 'change')}: " +
                "${Her2Json.text(content, 'before') ?: '–'} → ${Her2Json.text(content, 'after') ?: '–'}$undone"
        }

        private static double number(String text) {
            return text ? Double.parseDouble(text) : Double.NaN
        }

        boolean hasPlace() {
            return !Double.isNaN(x) && !Double.isNaN(y)
        }

        @Override
        String toString() {
            return words
        }
    }
}
