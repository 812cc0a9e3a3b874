import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.nio.file.Files
import java.nio.file.StandardCopyOption
import org.codehaus.groovy.runtime.InvokerHelper
import qupath.lib.images.servers.ImageServer
import qupath.lib.objects.PathObject
import qupath.lib.roi.interfaces.ROI

/**
 * Exports images that Python cannot open as tiled OME-TIFF of the part with the annotations. A crop step in the image's
 * chain maps the file back into the whole image, so that coordinates remain QuPath's.
 */
@CompileStatic
class Her2ExportPixels {

    /** File name endings that qupath_her2/project/image_files.py opens. */
    static final List<String> READABLE = [
        ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".btf", ".tf2", ".tf8", ".qptiff",
        ".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".dcm"]

    /** Margin around the regions in px, so that cells on their edges are seen in context. */
    private static final int MARGIN = 128
    private static final int TILE = 512

    /** Why Python cannot open a file of this kind; null if it can. */
    static String unreadable(File file) {
        if (file == null)
            return "its file is unknown"
        String name = file.getName().toLowerCase(Locale.ROOT)
        return READABLE.any { String ending -> name.endsWith(ending) } ? null :
            "only QuPath opens files ending in '${name.substring(Math.max(0, name.lastIndexOf(".")))}'".toString()
    }

    /** Write the part of the image that contains the objects; returns the fields of images.json for the new file. */
    static Map<String, Object> write(
            ImageServer<BufferedImage> server, List<PathObject> objects, File her2, String id) {
        List<Integer> box = boxOf(objects, server.getWidth(), server.getHeight())
        if (box == null)
            throw new Her2Refusal("there is no region, so there are no pixels to export. " +
                "Draw an annotation around the tumour and set its class to Tumor")
        File file = new File(her2, "images/${id}.ome.tif")
        Files.createDirectories(file.getParentFile().toPath())
        // The writer chooses the format by the ending of the name.
        File draft = new File(file.getParentFile(), "${id}.draft.ome.tif")
        try {
            writeTiff(server, box, draft)
            Files.move(draft.toPath(), file.toPath(), StandardCopyOption.REPLACE_EXISTING)
        } catch (ClassNotFoundException ignored) {
            throw new Her2Refusal("this QuPath lacks the Bio-Formats extension, which writes OME-TIFF. Install " +
                "QuPath with its own installer, or convert the image to OME-TIFF and add that file to the project")
        } finally {
            Files.deleteIfExists(draft.toPath())
        }
        return [
            path       : (Object) "${her2.getName()}/images/${id}.ome.tif".toString(),
            series     : null,
            chain      : [[crop: [-box[0], -box[1], server.getWidth(), server.getHeight()]]],
            fingerprint: Her2ExportImage.fingerprint(file.toPath()),
        ]
    }

    /** Bounding box of all area objects as x, y, width, height, in whole pixels inside the image. */
    private static List<Integer> boxOf(List<PathObject> objects, int width, int height) {
        List<ROI> areas = objects.collect { PathObject object -> object.getROI() }.findAll { ROI roi -> roi.isArea() }
        if (areas.isEmpty())
            return null
        double left = areas.collect { ROI roi -> roi.getBoundsX() }.min()
        double top = areas.collect { ROI roi -> roi.getBoundsY() }.min()
        double right = areas.collect { ROI roi -> roi.getBoundsX() + roi.getBoundsWidth() }.max()
        double bottom = areas.collect { ROI roi -> roi.getBoundsY() + roi.getBoundsHeight() }.max()
        int x = Math.max(0, (int) Math.floor(left) - MARGIN)
        int y = Math.max(0, (int) Math.floor(top) - MARGIN)
        int x1 = Math.min(width, (int) Math.ceil(right) + MARGIN)
        int y1 = Math.min(height, (int) Math.ceil(bottom) + MARGIN)
        return x1 > x && y1 > y ? [x, y, x1 - x, y1 - y] : null
    }

    /** The writer is called by name, because code that uses a missing class directly would not compile. */
    private static void writeTiff(ImageServer<BufferedImage> server, List<Integer> box, File file) {
        Class<?> kind = Class.forName('qupath.lib.images.writers.ome.OMEPyramidWriter$Builder')
        Object builder = kind.getConstructor(ImageServer).newInstance(server)
        List<List<Object>> calls = [
            ["region", box[0], box[1], box[2], box[3]], ["tileSize", TILE], ["scaledDownsampling", 4d],
            ["losslessCompression"], ["parallelize"], ["build"], ["writePyramid", file.getPath()]] as List<List<Object>>
        for (List<Object> call : calls)
            builder = InvokerHelper.invokeMethod(builder, call[0].toString(), call.drop(1).toArray())
    }
}
