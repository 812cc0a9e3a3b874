import groovy.transform.CompileStatic
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.input.KeyCode
import javafx.scene.layout.HBox
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.objects.PathObject
import qupath.lib.roi.interfaces.ROI

/**
 * The tab *Regions*: proposals and tumour regions, one after the other.
 */
@CompileStatic
class Her2RegionsPane extends Her2ReviewPane {

    /** A region fills this share of the viewer. */
    private static final double FILLED = 0.7d
    private static final String PROBABILITY = "HER2: Tumour probability"

    private final Label progress = new Label("")
    private final Label told = paragraph("")
    private final Button accept
    private final Button reject
    private Her2ReviewImage image
    private Her2RegionReview review

    Her2RegionsPane(Her2ReviewWindow home) {
        super(home)
        progress.setStyle("-fx-font-weight: bold;")
        told.setStyle("-fx-font-size: 1.15em;")
        accept = keyButton("A: invasive tumour") { accept() }
        reject = keyButton("X: no tumour") { reject() }
        getChildren().addAll(progress, told, new HBox(6, accept, reject),
            new HBox(6, keyButton("Next region (space)") { next() }, keyButton("Undo (U)") { undo() }),
            paragraph("A proposal (Tumor?) becomes Tumor or is deleted; what you delete is not proposed again. A " +
                "Tumor region that is none gets the class Ignore*. Score the image again afterwards."))
    }

    @Override
    String title() {
        return "Regions"
    }

    @Override
    void show(Her2ReviewImage image) {
        boolean isSame = image != null && this.image != null && image.image.is(this.image.image)
        this.image = image
        setDisable(image == null)
        if (image == null)
            review = null
        else if (!isSame || review == null)
            review = new Her2RegionReview(image.image, image.project)
        refresh(false)
    }

    @Override
    void setActive(boolean isActive) {
        // Regions may have been drawn since; a review that has begun keeps its order.
        if (isActive && image != null && review.stepCount() == 0 && review.current() == null)
            review = new Her2RegionReview(image.image, image.project)
        refresh(isActive)
    }

    @Override
    boolean take(KeyCode key) {
        if (image == null)
            return false
        if (key == KeyCode.SPACE)
            next()
        else if (key == KeyCode.A)
            accept()
        else if (key == KeyCode.X)
            reject()
        else if (key == KeyCode.U)
            undo()
        else
            return false
        return true
    }

    private void next() {
        review.next()
        refresh(true)
    }

    private void accept() {
        review.accept()
        next()
    }

    private void reject() {
        review.reject()
        next()
    }

    private void undo() {
        if (!review.undo())
            home.say("There is nothing to undo in this image.")
        refresh(true)
    }

    private void refresh(boolean isCentred) {
        if (review == null)
            return
        PathObject region = review.current()
        accept.setDisable(region == null)
        reject.setDisable(region == null)
        progress.setText("${review.number()} of ${review.regions.size()} regions".toString())
        if (region == null) {
            told.setText(review.regions.isEmpty() ? "This image has neither proposals nor tumour regions." :
                review.number() == 0 ? "Press Next region to begin." : "That was the last region.")
            return
        }
        told.setText(words(region))
        if (isCentred && region.getParent() != null)
            centre(region)
    }

    private static String words(PathObject region) {
        String name = region.getName() ? "${region.getName()}: " : ""
        String className = Her2Classes.nameOf(region.getPathClass()) ?: "no class"
        double probability = region.getMeasurementList().get(PROBABILITY)
        String sure = Double.isNaN(probability) ? "" :
            String.format(Locale.ROOT, ", tumour probability %.2f", probability)
        return "$name$className$sure${region.getParent() == null ? ' (deleted)' : ''}".toString()
    }

    private void centre(PathObject region) {
        QuPathViewer viewer = image.viewer
        ROI roi = region.getROI()
        double wide = roi.getBoundsWidth() / viewer.getView().getWidth()
        double wanted = Math.max(wide, roi.getBoundsHeight() / viewer.getView().getHeight())
        viewer.setDownsampleFactor(Math.max(0.1d, wanted / FILLED))
        viewer.setCenterPixelLocation(roi.getCentroidX(), roi.getCentroidY())
        image.image.getHierarchy().getSelectionModel().setSelectedObject(region)
    }
}
