import com.google.gson.JsonElement
import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.nio.file.Path
import qupath.lib.color.ColorDeconvolutionStains
import qupath.lib.geom.Point2
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServerBuilder.ServerBuilder
import qupath.lib.io.GsonTools
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjectTools
import qupath.lib.objects.TMACoreObject
import qupath.lib.projects.ProjectImageEntry
import qupath.lib.roi.interfaces.ROI

/**
 * Whether an open image holds something that a person made and that is not in its data file. QuPath calls an image
 * changed for less: the display settings it notes when it opens one, a name in the project unlike the file's, the end
 * of a script.
 */
@CompileStatic
class Her2Unsaved {

    /** More objects are not compared: reading them a second time takes seconds and as much memory again. */
    private static final int MOST = 200_000
    /** What QuPath notes of its own accord among an image's properties. */
    private static final List<String> QUPATHS = ["qupath.lib.display.ImageDisplay", "PROJECT_ENTRY_ID"].asImmutable()
    /** Half a hundredth of a pixel and a bit: QuPath keeps coordinates as 32-bit numbers. */
    private static final double SAME_PX = 0.01d

    /** Whether an image has changes that its person has to be asked about; `entry` null where it is in no project. */
    static boolean isIn(ImageData<?> image, ProjectImageEntry<?> entry) {
        if (!image.isChanged() || entry == null || image.getHierarchy().nObjects() > MOST)
            return image.isChanged()
        Path file = entry.getEntryPath().resolve("data.qpdata")
        Her2DataFile saved = file.toFile().isFile() ? Her2DataFile.read(file) : new Her2DataFile()
        // What cannot be read cannot be compared.
        return saved == null || !isSameScale(image, entry) || !isSameImage(image, saved) ||
            !sameBelow(image.getHierarchy().getRootObject(), saved.hierarchy?.getRootObject())
    }

    /** Type and stains that were never saved may be QuPath's own guess. */
    private static boolean isSameImage(ImageData<?> image, Her2DataFile saved) {
        boolean isTyped = saved.type != null && saved.type != ImageData.ImageType.UNSET
        String stains = words(image.getColorDeconvolutionStains())
        if (isTyped && (saved.type != image.getImageType() || words(saved.stains) != stains))
            return false
        Map<String, Object> now = kept(image.getProperties())
        Map<String, Object> before = kept(saved.properties)
        return now.keySet() == before.keySet() &&
            now.every { String key, Object value -> Objects.deepEquals(value, before.get(key)) }
    }

    private static String words(ColorDeconvolutionStains stains) {
        return stains == null ? null : ColorDeconvolutionStains.getColorDeconvolutionStainsAsString(stains, 5)
    }

    private static Map<String, Object> kept(Map<String, Object> properties) {
        return properties.findAll { String key, Object value -> value instanceof Serializable && !(key in QUPATHS) }
    }

    /** The pixel size, as the project has it; as the file says it where the project has none. */
    private static boolean isSameScale(ImageData<?> image, ProjectImageEntry<?> entry) {
        JsonElement now = scale(image.getServer().getBuilder())
        JsonElement before = scale(entry.getServerBuilder())
        if (before == null)
            before = GsonTools.getInstance().toJsonTree(image.getServer().getOriginalMetadata().getPixelCalibration())
        return now == null || now == before
    }

    private static JsonElement scale(ServerBuilder<?> builder) {
        JsonElement at = builder == null ? null : GsonTools.getInstance().toJsonTree(builder, ServerBuilder)
        while (at != null && at.isJsonObject()) {
            JsonObject level = at.getAsJsonObject()
            JsonElement facts = level.get("metadata")
            if (facts != null && facts.isJsonObject() && facts.getAsJsonObject().has("pixelCalibration"))
                return facts.getAsJsonObject().get("pixelCalibration")
            at = level.get("builder")
        }
        return null
    }

    /** Whether the same objects lie below both, `other` being null for nothing. */
    private static boolean sameBelow(PathObject object, PathObject other) {
        PathObject[] children = object.getChildObjectsAsArray()
        PathObject[] others = other == null ? new PathObject[0] : other.getChildObjectsAsArray()
        if (children.length != others.length)
            return false
        Map<UUID, PathObject> byId = new HashMap<UUID, PathObject>(2 * others.length)
        for (PathObject child : others)
            byId.put(child.getID(), child)
        for (PathObject child : children) {
            PathObject twin = byId.get(child.getID())
            if (twin == null || !same(child, twin) || !sameBelow(child, twin))
                return false
        }
        return true
    }

    private static boolean same(PathObject one, PathObject other) {
        return one.getClass() == other.getClass() && one.getName() == other.getName() &&
            Her2Classes.nameOf(one.getPathClass()) == Her2Classes.nameOf(other.getPathClass()) &&
            one.isLocked() == other.isLocked() && one.getColor() == other.getColor() &&
            isMissing(one) == isMissing(other) &&
            one.getMeasurementList().getMeasurementNames() == other.getMeasurementList().getMeasurementNames() &&
            Arrays.equals(one.getMeasurementList().values(), other.getMeasurementList().values()) &&
            same(one.getROI(), other.getROI()) &&
            same(PathObjectTools.getNucleusROI(one), PathObjectTools.getNucleusROI(other))
    }

    private static boolean isMissing(PathObject object) {
        return object instanceof TMACoreObject && ((TMACoreObject) object).isMissing()
    }

    private static boolean same(ROI one, ROI other) {
        if (one == null || other == null)
            return one == null && other == null
        List<Point2> points = one.getAllPoints()
        List<Point2> others = other.getAllPoints()
        if (one.getClass() != other.getClass() || one.getImagePlane() != other.getImagePlane())
            return false
        if (points.size() != others.size())
            return false
        for (int i = 0; i < points.size(); i++)
            if (points.get(i).distanceSq(others.get(i).getX(), others.get(i).getY()) > SAME_PX * SAME_PX)
                return false
        return true
    }
}
