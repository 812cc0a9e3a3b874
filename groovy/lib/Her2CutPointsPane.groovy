import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.util.function.Consumer
import java.util.function.Supplier
import javafx.animation.PauseTransition
import javafx.application.Platform
import javafx.beans.value.ChangeListener
import javafx.geometry.Insets
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.control.Slider
import javafx.scene.control.TextInputDialog
import javafx.scene.control.Tooltip
import javafx.scene.input.KeyCode
import javafx.scene.layout.FlowPane
import javafx.scene.layout.HBox
import javafx.scene.layout.Priority
import javafx.scene.layout.VBox
import javafx.util.Duration
import qupath.lib.color.ColorDeconvolutionStains
import qupath.lib.common.ColorTools
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.objects.classes.PathClass

/**
 * The tab *Cut-points*: while a slider moves, the cells on the image take the colours of the classes that they would
 * have, and shares, score and sentence follow. The image itself changes only when the cut-points are applied.
 */
@CompileStatic
class Her2CutPointsPane extends Her2ReviewPane {

    private static final List<String> NAMES = ["faint", "moderate", "intense", "stained", "lateral", "complete"]
        .asImmutable()
    private static final List<String> CLASSES = ["Tumor: Negative", "Tumor: 1+", "Tumor: 2+", "Tumor: 3+"].asImmutable()
    private static final List<String> SHORT = ["0", "1+", "2+", "3+"].asImmutable()
    /** Of more cells QuPath needs seconds to draw the outlines: they are drawn when the slider rests. */
    private static final int DRAWN_AT_ONCE = 200_000
    private static final double REST_MS = 400
    /** Several scores in a row later than this: drawing takes too long for every movement, on fewer cells too. */
    private static final long LATE_MS = 150
    private static final int LATE_IN_A_ROW = 3
    private static final double NAME_WIDTH = 64
    private static final String HINT = "Nothing in the image changes before the cut-points are applied."

    private final Her2Histogram density = new Her2Histogram(Her2Histogram.Scale.DENSITY, NAMES.subList(0, 3))
    private final Her2Histogram completeness = new Her2Histogram(Her2Histogram.Scale.SHARE, NAMES.subList(3, 6))
    private final List<Slider> sliders = []
    private final List<Label> values = []
    private final Label score = new Label("")
    private final Label shares = paragraph("")
    private final Label sentence = paragraph("")
    private final Label note = paragraph(HINT)
    private final HBox stainRow = new HBox(8)
    private final Label stainWords = paragraph("")
    private final Button stainButton = new Button("Estimate stains")
    private final VBox tools = new VBox(8)

    private Her2ReviewImage image
    private Her2LiveScore live
    private Her2LiveWorker worker
    private Map<PathObject, Integer> numbers
    private int[] colours = new int[4]
    private Her2CutPoints cuts
    private ColorDeconvolutionStains stainsBefore
    private boolean isActive
    private boolean isSetting
    private long started
    private int late
    /** Classes of the last score; null where they are those of the image. */
    private byte[] newest
    private final PauseTransition rest = new PauseTransition(Duration.millis(REST_MS))

    /** Milliseconds from the last movement of a slider to its score in the window. */
    long lastMs

    Her2CutPointsPane(Her2ReviewWindow home) {
        super(home)
        rest.setOnFinished { recolour() }
        score.setStyle("-fx-font-size: 1.6em; -fx-font-weight: bold;")
        tools.getChildren().addAll(new Label("Density of the membrane, OD"), aligned(density))
        for (int i = 0; i < 6; i++) {
            if (i == 3)
                tools.getChildren().addAll(new Label("Stained share of the outline"),
                    aligned(completeness))
            tools.getChildren().add(row(i))
        }
        FlowPane buttons = new FlowPane(6, 6)
        buttons.getChildren().addAll(
            button("Reset", "The cut-points that the image was scored with") { reset(null) },
            button("Built-in", "The cut-points that come with HER2") { reset(Her2CutPoints.BUILT_IN) },
            button("Apply to image", "Score this image again with these cut-points") { apply("open") },
            button("Apply to project", "Score all images again with these cut-points") { apply("all") },
            button("Save as profile…", "Keep them as a file of the project, with your name") { saveProfile() })
        stainButton.setOnAction { home.attempt { changeStains() } }
        stainButton.setMinWidth(USE_PREF_SIZE)
        HBox.setHgrow(stainWords, Priority.ALWAYS)
        stainRow.getChildren().addAll(stainWords, stainButton)
        getChildren().addAll(stainRow, tools, score, shares, sentence, buttons, note)
    }

    private Button button(String words, String help, Runnable work) {
        Button button = new Button(words)
        button.setTooltip(new Tooltip(help))
        button.setOnAction { home.attempt(work) }
        return button
    }

    private HBox row(int index) {
        Slider slider = new Slider(0, 1, 0)
        Label value = new Label("")
        value.setMinWidth(46)
        Label name = new Label(NAMES[index])
        name.setMinWidth(NAME_WIDTH)
        HBox.setHgrow(slider, Priority.ALWAYS)
        slider.valueProperty().addListener({ observed, before, now -> move(index) } as ChangeListener<Number>)
        sliders.add(slider)
        values.add(value)
        return new HBox(6, name, slider, value)
    }

    /** Its lines stand above the thumbs of the sliders. */
    private static HBox aligned(Her2Histogram histogram) {
        HBox box = new HBox(histogram)
        box.setPadding(new Insets(0, 0, 0, NAME_WIDTH + 14))
        return box
    }

    private static Her2Histogram.Scale scaleOf(int index) {
        return index < 3 ? Her2Histogram.Scale.DENSITY : Her2Histogram.Scale.SHARE
    }

    @Override
    String title() {
        return "Cut-points"
    }

    @Override
    boolean take(KeyCode key) {
        return false
    }

    @Override
    void show(Her2ReviewImage image) {
        if (this.image != null)
            Her2ReviewColours.show(this.image.viewer.getOverlayOptions(), null)
        boolean isSame = image != null && this.image != null && image.image.is(this.image.image)
        if (!isSame)
            stainsBefore = null
        this.image = image
        live = null
        cuts = null
        setDisable(image == null)
        if (image == null) {
            worker?.end()
            worker = null
            return
        }
        showStains()
        if (isActive)
            load()
    }

    @Override
    void setActive(boolean isActive) {
        boolean isNew = isActive && !this.isActive
        this.isActive = isActive
        if (image == null)
            return
        if (!isActive)
            Her2ReviewColours.show(image.viewer.getOverlayOptions(), null)
        else if (isNew || live == null)
            load()
    }

    /** Read the measurements of all cells, in the background: a slide can have a million. */
    private void load() {
        if (worker == null)
            worker = new Her2LiveWorker()
        Her2ReviewImage wanted = image
        Her2CutPoints kept = cuts
        sentence.setText("Reading the cells…")
        tools.setDisable(true)
        worker.run {
            Her2LiveScore found = new Her2LiveScore(wanted.image, wanted.run)
            Map<PathObject, Integer> byObject = Her2ReviewColours.numbers(found.cells.objects)
            int[] ods = Her2Histogram.count(found.cells.density, Her2Histogram.Scale.DENSITY)
            int[] shares = Her2Histogram.count(found.cells.completeness, Her2Histogram.Scale.SHARE)
            Platform.runLater {
                if (!wanted.is(image))
                    return
                live = found
                numbers = byObject
                density.setBins(ods)
                completeness.setBins(shares)
                begin(kept ?: found.ofRun)
            }
        }
    }

    private void begin(Her2CutPoints first) {
        late = 0
        PathClass[] classes = Her2Classes.named(CLASSES, image.project)
        for (int i = 0; i < 4; i++)
            colours[i] = classes[i].getColor()
        tools.setDisable(live.refusal != null)
        if (live.refusal != null) {
            score.setText("")
            shares.setText("")
            sentence.setText(Her2Words.inQuPath(live.refusal))
            return
        }
        String corrected = live.corrected == 0 ? "" : String.format(Locale.ROOT,
            " %,d cells have a class that a person gave; they keep it.", live.corrected)
        note.setText(HINT + corrected)
        set(first)
    }

    /** Put the sliders where the cut-points are, and score. */
    private void set(Her2CutPoints wanted) {
        cuts = wanted
        isSetting = true
        for (int i = 0; i < 6; i++) {
            sliders[i].setValue(scaleOf(i).position(wanted.values[i]))
            values[i].setText(String.format(Locale.ROOT, "%.3f", wanted.values[i]))
        }
        isSetting = false
        density.draw(wanted.values.subList(0, 3))
        completeness.draw(wanted.values.subList(3, 6))
        started = System.nanoTime()
        worker.score(live, wanted) { Her2LiveScore.Result it -> tell(it) }
    }

    private void move(int index) {
        if (isSetting || live == null || live.refusal != null)
            return
        double value = Math.round(1000 * scaleOf(index).value(sliders[index].getValue())) / 1000.0d
        set(cuts.with(index, value))
    }

    private void tell(Her2LiveScore.Result result) {
        if (image == null || live == null || !isActive)
            return
        boolean isOther = cuts != live.ofRun
        newest = isOther ? result.classes : null
        if (isOther && (live.cells.count > DRAWN_AT_ONCE || late == LATE_IN_A_ROW))
            rest.playFromStart()
        else
            recolour()
        score.setText("${result.score ?: 'No score'}${isOther ? '' : ' (as scored)'}".toString())
        List<String> parts = []
        for (int i = 0; i < 4; i++)
            parts.add(String.format(Locale.ROOT, "%s: %.1f %%", SHORT[i], 100 * result.share(i)))
        parts.add(String.format(Locale.ROOT, "H-score %.1f", result.hScore()))
        shares.setText(parts.join("   "))
        sentence.setText(result.sentence)
        lastMs = (long) ((System.nanoTime() - started) / 1_000_000L)
        if (late < LATE_IN_A_ROW)
            late = lastMs > LATE_MS ? late + 1 : 0
    }

    private void recolour() {
        if (image != null && isActive && numbers != null)
            Her2ReviewColours.show(image.viewer.getOverlayOptions(),
                newest == null ? null : Her2ReviewColours.of(numbers, newest, colours))
    }

    private void reset(Her2CutPoints wanted) {
        if (live != null && live.refusal == null)
            set(wanted ?: live.ofRun)
    }

    private Her2CutPoints checked() {
        if (live == null || live.refusal != null)
            throw new Her2Refusal("There are no cells to set cut-points for. Score the image first.")
        String problem = cuts.problem()
        if (problem != null)
            throw new Her2Refusal("These cut-points cannot be used: ${problem}.")
        return cuts
    }

    private void apply(String scope) {
        Her2CutPoints wanted = checked()
        boolean isBuiltIn = wanted == Her2CutPoints.BUILT_IN
        String name = isBuiltIn ? "" : "by-hand-${image.id}".toString()
        Runnable score = {
            Her2Choices choices = Her2Choices.of(image.her2)
            choices.put(Her2Choices.CUT_POINTS, [profile: (Object) name])
            List<String> words = choices.scoreArguments() + (scope == "open" ? [] : ["scope=all"])
            String script = scope == "open" ? "score_image.groovy" : "score_project.groovy"
            Her2Menu.startInstalled(home.window, script, words)
        }
        if (isBuiltIn)
            score.run()
        else
            write(name, wanted, score)
    }

    private void saveProfile() {
        Her2CutPoints wanted = checked()
        TextInputDialog dialog = new TextInputDialog("by-hand-${image.id}")
        dialog.initOwner(getScene().getWindow())
        dialog.setTitle("HER2: save as profile")
        dialog.setHeaderText("Name of the profile: letters, digits, dots and hyphens")
        Optional<String> name = dialog.showAndWait()
        if (name.isPresent() && !name.get().isBlank())
            write(name.get().trim(), wanted, { home.say("Profile ${name.get().trim()} is saved in her2/profiles.") })
    }

    /** Python writes the profile: it knows the scanner, the stain and the laboratory of the image. */
    private void write(String name, Her2CutPoints wanted, Runnable after) {
        List<String> words = ["review", "profile", image.project.getPath().toString(), name, "--image", image.id,
                              "--densities", wanted.values.subList(0, 3).join(","),
                              "--shares", wanted.values.subList(3, 6).join(","), "--reviewer", home.readerName(),
                              "--out", image.her2.getPath()]
        home.background({ words } as Supplier<List<String>>, "Saving the cut-points",
            { List<String> lines -> after.run() } as Consumer<List<String>>, { } as Runnable)
    }

    private void showStains() {
        boolean isDefault = Her2ImageStains.isDefault(image.image)
        boolean canUndo = stainsBefore != null
        stainRow.setVisible(isDefault || canUndo)
        stainRow.setManaged(isDefault || canUndo)
        stainWords.setText(canUndo ? "QuPath's stain vectors were estimated. Score the image again to use them." :
            "This image still has QuPath's default stain vectors; scoring estimates its own.")
        stainButton.setText(canUndo ? "Undo" : "Estimate stains")
    }

    private void changeStains() {
        ImageData<BufferedImage> data = image.image
        if (stainsBefore != null) {
            data.setColorDeconvolutionStains(stainsBefore)
            stainsBefore = null
        } else {
            ColorDeconvolutionStains before = data.getColorDeconvolutionStains()
            data.setColorDeconvolutionStains(Her2ImageStains.estimate(data))
            stainsBefore = before
        }
        showStains()
    }
}
