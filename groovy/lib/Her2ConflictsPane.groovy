import com.google.gson.JsonObject
import com.google.gson.JsonParser
import groovy.transform.CompileStatic
import java.awt.Color
import java.util.function.Consumer
import java.util.function.Supplier
import javafx.beans.value.ChangeListener
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.control.ListView
import javafx.scene.input.KeyCode
import javafx.scene.layout.ColumnConstraints
import javafx.scene.layout.GridPane
import javafx.scene.layout.Priority
import javafx.scene.layout.VBox

/**
 * The tab *Conflicts*: what people left in different states, one beside the other, with a button for whose counts.
 */
@CompileStatic
class Her2ConflictsPane extends Her2ReviewPane {

    private final Label found = paragraph("")
    private final ListView<Her2Conflict> list = new ListView<Her2Conflict>()
    private final GridPane sides = new GridPane()
    private final Button show
    private Her2ReviewImage image

    Her2ConflictsPane(Her2ReviewWindow home) {
        super(home)
        show = new Button("Show conflicts")
        show.setOnAction { home.attempt { load() } }
        sides.setHgap(12)
        sides.setVgap(4)
        VBox.setVgrow(list, Priority.ALWAYS)
        list.getSelectionModel().selectedItemProperty().addListener({ observed, before, now ->
            home.attempt { compare((Her2Conflict) now) }
        } as ChangeListener<Her2Conflict>)
        getChildren().addAll(show, found, sides, list,
            paragraph("Whose state counts is kept with your name, and holds until one of them changes it. Nothing in " +
                "the image changes."))
    }

    @Override
    String title() {
        return "Conflicts"
    }

    @Override
    boolean take(KeyCode key) {
        return false
    }

    @Override
    void show(Her2ReviewImage image) {
        if (this.image != null)
            Her2ConflictOutlines.show(this.image.viewer, null)
        this.image = image
        setDisable(image == null)
        compare(image == null ? null : list.getSelectionModel().getSelectedItem())
    }

    @Override
    void setActive(boolean isActive) {
        if (image != null)
            compare(isActive ? list.getSelectionModel().getSelectedItem() : null)
    }

    /** Forget the list: what was collected since may have changed it. */
    void forget() {
        list.getItems().clear()
        found.setText("")
    }

    private void load() {
        run(["conflicts", image.project.getPath().toString(), "--json"]) { List<String> lines ->
            List<Her2Conflict> conflicts = lines.findAll { String it -> it.startsWith("{") }
                .collect { String it -> JsonParser.parseString(it).getAsJsonObject() }
                .collect { JsonObject it -> new Her2Conflict(it) }
            list.getItems().setAll(conflicts)
            found.setText(conflicts.isEmpty() ? "People agree, or each changed other objects." :
                conflicts.size() == 1 ? "1 open conflict." : "${conflicts.size()} open conflicts.".toString())
            list.getSelectionModel().selectFirst()
        }
    }

    private void settle(Her2Conflict conflict, Her2Conflict.State state) {
        run(["settle", image.project.getPath().toString(), "--take", state.author, "--conflict",
             conflict.number.toString(), "--reviewer", home.readerName()]) { List<String> lines -> load() }
    }

    private void run(List<String> words, Consumer<List<String>> after) {
        List<String> arguments = ["review"] + words + ["--out", image.her2.getPath()]
        setDisable(true)
        home.background({ arguments } as Supplier<List<String>>, "Reading the rounds", after) {
            setDisable(image == null)
        }
    }

    /** Show the states of a conflict side by side, and its outlines in the image; null clears both. */
    private void compare(Her2Conflict conflict) {
        sides.getChildren().clear()
        sides.getColumnConstraints().clear()
        if (image != null)
            Her2ConflictOutlines.show(image.viewer, null)
        if (conflict == null)
            return
        for (int i = 0; i < conflict.states.size(); i++)
            addColumn(conflict, i)
        if (conflict.image != image.id) {
            home.say("Open image '${image.entryOf(conflict.image)?.getImageName() ?: conflict.image}' to see it.")
            return
        }
        Her2ConflictOutlines.show(image.viewer, new Her2ConflictOutlines(image.image, conflict))
        if (conflict.hasPlace())
            image.viewer.setCenterPixelLocation(conflict.x, conflict.y)
    }

    private void addColumn(Her2Conflict conflict, int person) {
        Her2Conflict.State state = conflict.states[person]
        Color colour = Her2ConflictOutlines.colourOf(person)
        Label name = new Label(state.author)
        name.setStyle("-fx-font-weight: bold; -fx-text-fill: rgb(${colour.red}, ${colour.green}, ${colour.blue});")
        Button take = new Button("Take ${state.author}'s")
        take.setOnAction { home.attempt { settle(conflict, state) } }
        sides.addColumn(person, name, paragraph(state.words()), new Label(state.time.replace("T", " ")), take)
        ColumnConstraints width = new ColumnConstraints()
        width.setPercentWidth(100.0d / conflict.states.size())
        sides.getColumnConstraints().add(width)
    }
}
