import groovy.transform.CompileStatic
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.input.KeyCode
import javafx.scene.layout.VBox

/**
 * A tab of the review window: it follows the open image, and takes keys while it is shown.
 */
@CompileStatic
abstract class Her2ReviewPane extends VBox {

    protected final Her2ReviewWindow home

    protected Her2ReviewPane(Her2ReviewWindow home) {
        super(10)
        this.home = home
        setStyle("-fx-padding: 12;")
    }

    /** The name of the tab. */
    abstract String title()

    /** Another image was opened, or this one has another result; null where there is nothing to review. */
    abstract void show(Her2ReviewImage image)

    /** Whether the tab used the key. */
    abstract boolean take(KeyCode key)

    /** The tab is shown now, or no longer. */
    void setActive(boolean isActive) {
    }

    /** A button of a tab that takes keys: focused, it would take the space bar for itself. */
    protected Button keyButton(String words, Runnable work) {
        Button button = new Button(words)
        button.setOnAction { home.attempt(work) }
        button.setFocusTraversable(false)
        return button
    }

    /** A paragraph that takes the lines it needs. */
    protected static Label paragraph(String words) {
        Label label = new Label(words)
        label.setWrapText(true)
        label.setMinHeight(Label.USE_PREF_SIZE)
        return label
    }
}
