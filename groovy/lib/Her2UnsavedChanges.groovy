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
 * Finds out whether an open image has changes by the user that are not in its data file. QuPath marks an image as
 * changed for less: display settings that it stores on opening, a name in the project other than the file's, the end of
 * a script.
 */
@CompileStatic
class Her2UnsavedChanges {

    /** Above this number QuPath's mark is trusted: reading all objects again takes seconds and doubles the memory. */
    private static final int MAX_OBJECTS = 200_000
    /** Image properties that QuPath sets itself. */
    private static final List<String> QUPATH_OWN = ["qupath.lib.display.ImageDisplay", "PROJECT_ENTRY_ID"].asImmutable()
    /** Tolerance in px: QuPath saves coordinates as 32-bit numbers. */
    private static final double SAME_PX = 0.01d

    /** Whether the user has to be asked about unsaved changes; `entry` is null for an image outside the project. */
    static boolean isIn(ImageData<?> image, ProjectImageEntry<?> entry) {
        if (!image.isChanged() || entry == null || image.getHierarchy().nObjects() > MAX_OBJECTS)
            return image.isChanged()
        Path file = entry.getEntryPath().resolve("data.qpdata")
        Her2DataFile saved = file.toFile().isFile() ? Her2DataFile.read(file) : new Her2DataFile()
        // Data that cannot be read cannot be compared, so the answer is yes.
        return saved == null || !isSameScale(image, entry) || !isSameImage(image, saved) ||
            !sameBelow(image.getHierarchy().getRootObject(), saved.hierarchy?.getRootObject())
    }

    /** Compare image type, stains and properties; a type that was never saved may be QuPath's own estimate. */
    private static boolean isSameImage(ImageData<?> image, Her2DataFile saved) {
        boolean hasType = saved.type != null && saved.type != ImageData.ImageType.UNSET
        String stains = stainText(image.getColorDeconvolutionStains())
        if (hasType && (saved.type != image.getImageType() || stainText(saved.stains) != stains))
            return false
        Map<String, Object> now = kept(image.getProperties())
        Map<String, Object> before = kept(saved.properties)
        return now.keySet() == before.keySet() &&
            now.every { String key, Object value -> Objects.deepEquals(value, before.get(key)) }
    }

    private static String stainText(ColorDeconvolutionStains stains) {
        return stains == null ? null : ColorDeconvolutionStains.getColorDeconvolutionStainsAsString(stains, 5)
    }

    private static Map<String, Object> kept(Map<String, Object> properties) {
        return properties.findAll { String key, Object value -> value instanceof Serializable && !(key in QUPATH_OWN) }
    }

    /** Compare the pixel size with the project's, or with the file's if the project has none. */
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

    /** Whether both have the same objects below them; `other` may be null, for none. */
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
