import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import javafx.application.Platform
import javafx.geometry.HPos
import javafx.geometry.Insets
import javafx.geometry.Pos
import javafx.scene.Node
import javafx.scene.Scene
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.control.ScrollPane
import javafx.scene.layout.GridPane
import javafx.scene.layout.HBox
import javafx.scene.layout.Priority
import javafx.scene.layout.Region
import javafx.scene.layout.VBox
import javafx.stage.Screen
import javafx.stage.Stage
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI
import qupath.lib.images.ImageData
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * The box with a result: what the report says of the image, and a button that selects the cells that decide the score.
 * It leaves the window free, so that the cells can be looked at while it is open.
 */
@CompileStatic
class Her2ResultBox {

    private static final String TITLE = "HER2"
    private static final double WIDTH = 640
    private static final double MARGIN = 14
    /** Title bar and border, where the desktop does not say how high they are. */
    private static final double FRAME = 40
    /** Most of the screen's height that the text may take; the rest is scrolled. */
    private static final double HEIGHT_SHARE = 0.75

    private final Project<BufferedImage> project
    private final ProjectImageEntry<BufferedImage> entry
    private final Her2ResultText text

    private Her2ResultBox(
            Project<BufferedImage> project, ProjectImageEntry<BufferedImage> entry, Her2ResultText text) {
        this.project = project
        this.entry = entry
        this.text = text
    }

    /** Show the result of a finished run if there is a window; the script continues. */
    static void show(
            Project<BufferedImage> project, ProjectImageEntry<BufferedImage> entry, Her2ResultText text) {
        QuPathGUI window = QuPathGUI.getInstance()
        if (window != null)
            Platform.runLater { new Her2ResultBox(project, entry, text).open(window) }
    }

    private void open(QuPathGUI window) {
        Stage stage = new Stage()
        stage.initOwner(window.getStage())
        stage.setTitle("HER2: ${entry.getImageName()}")
        Region content = content()
        ScrollPane scrolled = new ScrollPane(content)
        scrolled.setFitToWidth(true)
        scrolled.setStyle("-fx-background-color: transparent;")
        Region row = buttons(stage)
        VBox all = new VBox(scrolled, row)
        VBox.setVgrow(scrolled, Priority.ALWAYS)
        stage.setScene(new Scene(all))
        // JavaFX 25 (QuPath 0.7) opens a window lower than its text, which would hide the table: its size is set once
        // more when it is open.
        stage.setOnShown { Platform.runLater { fit(stage, content, row, window) } }
        stage.show()
    }

    private static void fit(Stage stage, Region content, Region row, QuPathGUI window) {
        double most = HEIGHT_SHARE * Screen.getPrimary().getVisualBounds().getHeight()
        double frame = Math.max(FRAME, stage.getHeight() - stage.getScene().getHeight())
        stage.setHeight(Math.min(most, content.prefHeight(WIDTH + 2 * MARGIN)) + row.prefHeight(-1) + frame)
        Her2Window.centre(stage, window)
    }

    private Region content() {
        VBox box = new VBox(8)
        box.setPadding(new Insets(MARGIN))
        Label sentence = label(text.sentence)
        sentence.setStyle("-fx-font-size: 1.15em; -fx-font-weight: bold;")
        box.getChildren().add(sentence)
        for (String note : text.notes)
            box.getChildren().add(label(note))
        for (String warning : text.shownWarnings())
            box.getChildren().add(label("\u26a0 $warning".toString()))
        if (text.explanation != null) {
            box.getChildren().add(label(text.explanation))
            box.getChildren().add(table())
        }
        return box
    }

    private static Label label(String words) {
        Label label = new Label(Her2Words.inQuPath(words))
        label.setWrapText(true)
        label.setPrefWidth(WIDTH)
        label.setMinHeight(Label.USE_PREF_SIZE)
        return label
    }

    private Node table() {
        GridPane grid = new GridPane()
        grid.setHgap(16)
        grid.setVgap(3)
        for (int row = 0; row < text.table.size(); row++)
            for (int column = 0; column < text.table[row].size(); column++) {
                Label cell = new Label(text.table[row][column])
                if (row <= 1)
                    cell.setStyle("-fx-font-weight: bold;")
                // Figures are compared down a column.
                GridPane.setHalignment(cell, column > 1 ? HPos.RIGHT : HPos.LEFT)
                grid.add(cell, column, row)
            }
        return grid
    }

    private Region buttons(Stage stage) {
        HBox row = new HBox(10)
        row.setAlignment(Pos.CENTER_RIGHT)
        row.setPadding(new Insets(0, MARGIN, MARGIN, MARGIN))
        if (text.isScored) {
            Button show = new Button("Show deciding cells")
            show.setOnAction { select(show) }
            row.getChildren().add(show)
        }
        Button ok = new Button("OK")
        ok.setDefaultButton(true)
        ok.setCancelButton(true)
        ok.setOnAction { stage.close() }
        row.getChildren().add(ok)
        return row
    }

    private void select(Button button) {
        ImageData<BufferedImage> image = (ImageData) Her2Window.openImages(project, null).get(entry.getID())
        if (image == null) {
            Dialogs.showInfoNotification(TITLE, "Open image '${entry.getImageName()}' to see its cells.")
            return
        }
        try {
            int found = Her2Selection.select(image, Her2Selection.DECIDING_CELLS)
            button.setText("${String.format(Locale.ROOT, '%,d', found)} deciding cells selected".toString())
        } catch (Her2Refusal problem) {
            Dialogs.showErrorMessage(TITLE, Her2Words.inQuPath(problem.message))
        }
    }
}
