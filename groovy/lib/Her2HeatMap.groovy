import com.google.gson.JsonElement
import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import javafx.application.Platform
import javax.imageio.ImageIO
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.gui.viewer.overlays.BufferedImageOverlay
import qupath.lib.images.ImageData
import qupath.lib.regions.ImageRegion

/**
 * A picture of a run that is shown as an overlay on its image: a heat map of probabilities or staining, or a Grad-CAM
 * map. The run lists its pictures in overlays.json, written by qupath_her2/report/heat.py.
 */
@CompileStatic
class Her2HeatMap {

    private static final String FILE = "overlays.json"
    private static final String AGAIN = "Predict the image again: qupath-her2 predict --force."

    final String name
    private final File picture
    private final ImageRegion region

    private Her2HeatMap(File run, JsonObject entry) {
        name = Her2Json.text(entry, "name")
        String file = Her2Json.text(entry, "file")
        List<Double> place = ["x", "y", "width", "height"].collect { String it -> Her2Json.number(entry, it) }
        // The name comes from a file, and a path in it could lead out of the run's folder.
        if (name == null || file == null || new File(file).name != file || place.contains(null))
            throw new Her2Refusal("'${new File(run, FILE)}' is damaged. $AGAIN")
        picture = new File(run, file)
        region = ImageRegion.createInstance(place[0].intValue(), place[1].intValue(), place[2].intValue(),
            place[3].intValue(), 0, 0)
    }

    /** All maps of the current runs of an image of `width` x `height` px: predictions first, then scores. */
    static List<Her2HeatMap> of(File her2, String entryId, int width, int height) {
        List<Her2HeatMap> found = []
        JsonObject image = Her2Exchange.imageOfEntry(her2, entryId)
        if (image == null)
            return found
        for (File folder : [Her2ResultKind.predictions(Her2ResultKind.root(her2)), Her2ResultKind.root(her2)]) {
            File run = Her2Exchange.currentRun(folder, Her2Json.text(image, "id"))
            if (run != null && new File(run, FILE).isFile())
                found.addAll(ofRun(run, width, height))
        }
        return found
    }

    private static List<Her2HeatMap> ofRun(File run, int width, int height) {
        JsonObject made = Her2Json.object(Her2Json.read(new File(run, "run.json"), AGAIN), "image")
        if (Her2Json.number(made, "width") != (double) width || Her2Json.number(made, "height") != (double) height)
            throw new Her2Refusal("The maps in '$run' were made for an image of ${made.get('width')} x " +
                "${made.get('height')} px, but this image has $width x $height px. Export the regions and predict " +
                "again.")
        JsonObject content = Her2Json.read(new File(run, FILE), AGAIN)
        Her2Json.checkFormat(content, new File(run, FILE), AGAIN)
        return Her2Json.array(content, "overlays").collect { JsonElement it ->
            new Her2HeatMap(run, it.getAsJsonObject())
        }
    }

    /** Show the next of `maps` over `image`; returns its name, "none" after the last one, or null without a window. */
    static String showNext(List<Her2HeatMap> maps, ImageData<BufferedImage> image) {
        QuPathViewer viewer = QuPathGUI.getInstance()?.getAllViewers()
            ?.find { QuPathViewer it -> it.getImageData().is(image) }
        if (viewer == null)
            return null
        String current = viewer.getCustomOverlayLayers().find { isOurs(it) }?.toString()
        int next = maps.findIndexOf { Her2HeatMap it -> it.name == current } + 1
        Her2HeatMap map = next < maps.size() ? maps[next] : null
        // Read before the JavaFX thread is involved: a large picture would freeze the window.
        BufferedImage pixels = map?.read()
        // A notification breaks no lines by itself.
        String note = map == null ? "Heat map hidden." : "${map.name}: blue is low, red is high.\nChoose the item " +
            "again for the next map.\nPress C to hide it; the opacity slider of the toolbar fades it."
        Platform.runLater {
            if (!viewer.getImageData().is(image))
                return
            viewer.getCustomOverlayLayers().removeIf { isOurs(it) }
            map?.addTo(viewer, pixels)
            viewer.repaint()
            Dialogs.showInfoNotification("HER2", note)
        }
        return map == null ? "none" : map.name
    }

    private BufferedImage read() {
        BufferedImage pixels = picture.isFile() ? ImageIO.read(picture) : null
        if (pixels == null)
            throw new Her2Refusal("'$picture' is missing or not an image. $AGAIN")
        return pixels
    }

    /** Add the map to a viewer, on the JavaFX thread; QuPath removes it when another image is opened. */
    private void addTo(QuPathViewer viewer, BufferedImage pixels) {
        viewer.getCustomOverlayLayers().add(new Her2Overlay(viewer, [(region): pixels], name))
        // QuPath draws custom overlays only while pixel classifications are shown.
        viewer.getOverlayOptions().setShowPixelClassification(true)
    }

    /** By its name: after an update within one session, an overlay of the former library has another class object. */
    private static boolean isOurs(Object overlay) {
        return overlay.class.simpleName == "Her2Overlay"
    }

    /** The overlay of one map, known by its name. */
    @CompileStatic
    static final class Her2Overlay extends BufferedImageOverlay {

        private final String name

        Her2Overlay(QuPathViewer viewer, Map<ImageRegion, BufferedImage> regions, String name) {
            super(viewer, regions)
            this.name = name
        }

        @Override
        String toString() {
            return name
        }
    }
}
