import com.google.gson.JsonElement
import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import javax.imageio.ImageIO
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.regions.ImageRegion

/**
 * A picture of a run that lies over its image: a heat map, or where a network looked (Grad-CAM). Which there are
 * stands in the run's overlays.json, as qupath_her2/report/heat.py writes it.
 */
@CompileStatic
class Her2HeatMap {

    private static final String FILE = "overlays.json"
    private static final String AGAIN = "Run the prediction again with --force."

    final String name
    private final File picture
    private final ImageRegion region

    private Her2HeatMap(File run, JsonObject entry) {
        name = Her2Json.text(entry, "name")
        String file = Her2Json.text(entry, "file")
        List<Double> place = ["x", "y", "width", "height"].collect { String it -> Her2Json.number(entry, it) }
        // A name that leads out of the run's folder is none of ours.
        if (name == null || file == null || new File(file).name != file || place.contains(null))
            throw new Her2Refusal("'${new File(run, FILE)}' is damaged. $AGAIN")
        picture = new File(run, file)
        region = ImageRegion.createInstance(place[0].intValue(), place[1].intValue(), place[2].intValue(),
            place[3].intValue(), 0, 0)
    }

    /** All maps of the runs that count for an image of `width` x `height` px: of networks first, then of scores. */
    static List<Her2HeatMap> of(File her2, String entryId, int width, int height) {
        List<Her2HeatMap> found = []
        JsonObject image = Her2Exchange.imageOfEntry(her2, entryId)
        if (image == null)
            return found
        for (File folder : [Her2Layer.other(Her2Layer.root(her2)), Her2Layer.root(her2)]) {
            File run = Her2Exchange.currentRun(folder, Her2Json.text(image, "id"))
            if (run != null && new File(run, FILE).isFile())
                found.addAll(ofRun(run, width, height))
        }
        return found
    }

    private static List<Her2HeatMap> ofRun(File run, int width, int height) {
        JsonObject made = Her2Json.object(Her2Json.read(new File(run, "run.json"), AGAIN), "image")
        if (Her2Json.number(made, "width") != (double) width || Her2Json.number(made, "height") != (double) height)
            throw new Her2Refusal("The maps in '$run' are of an image of ${made.get('width')} x " +
                "${made.get('height')} px, and this one has $width x $height px. Export the regions and predict again.")
        JsonObject content = Her2Json.read(new File(run, FILE), AGAIN)
        Her2Json.checkFormat(content, new File(run, FILE), AGAIN)
        return Her2Json.array(content, "overlays").collect { JsonElement it ->
            new Her2HeatMap(run, it.getAsJsonObject())
        }
    }

    /** Lay the map over the image of a viewer, on the thread of the window; opening another image takes it away. */
    void lay(QuPathViewer viewer, BufferedImage drawn) {
        Her2LaidMap.take(viewer)
        Map<ImageRegion, BufferedImage> regions = [(region): drawn]
        viewer.getCustomOverlayLayers().add(new Her2LaidMap(viewer, regions, name))
        // QuPath draws such maps only while it shows pixel classifications.
        viewer.getOverlayOptions().setShowPixelClassification(true)
    }

    /** The picture itself. */
    BufferedImage read() {
        BufferedImage drawn = picture.isFile() ? ImageIO.read(picture) : null
        if (drawn == null)
            throw new Her2Refusal("'$picture' is no picture. $AGAIN")
        return drawn
    }
}
