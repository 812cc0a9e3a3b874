import com.google.gson.JsonElement
import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.util.zip.GZIPInputStream
import com.google.gson.JsonParser
import java.nio.charset.StandardCharsets
import org.locationtech.jts.geom.Geometry
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject

/**
 * Checks that an image's regions are still those that were scored; otherwise no result may be imported.
 */
@CompileStatic
class Her2RegionCheck {

    private static final String AGAIN =
        "Nothing was written. Export the regions and score the image again (Score open image, or qupath-her2 run)."
    /** Last parts of class names that make an annotation a label, not a region. */
    private static final List<String> GRADES = ["Negative", "1+", "2+", "3+"]

    private final Her2HierarchyScan scan
    private final double width
    private final double height

    Her2RegionCheck(Her2HierarchyScan scan, ImageData<?> image) {
        this.scan = scan
        Her2ImageSize size = new Her2ImageSize(image)
        width = size.width
        height = size.height
    }

    /**
     * The annotation or TMA core of each region of a result, null for regions of ours; refuses if one has changed.
     * `mayBeCut`: of an annotation that was scored by itself, only the tumour that is drawn in it was scored.
     */
    PathObject[] parents(Her2Result result, boolean mayBeCut) {
        PathObject[] found = new PathObject[result.regions.size()]
        for (int i = 0; i < found.length; i++) {
            Her2Result.Region region = result.regions[i]
            if (!region.isOurs())
                found[i] = same(region.id, region.label(), region.shape, region.className,
                    mayBeCut || region.isCore)
        }
        return found
    }

    /** `mayBeCut`: of a TMA core, only the part with drawn tumour was scored. */
    private PathObject same(UUID id, String label, Geometry shape, String className, boolean mayBeCut = false) {
        PathObject object = scan.regions.get(id)
        if (object == null)
            throw new Her2Refusal("The scored region $label is not in the image any more. $AGAIN")
        if (scan.duplicates.contains(id))
            throw new Her2Refusal("Two annotations have the UUID of the scored region $label. " +
                "In QuPath choose Objects > Refresh duplicate object IDs. $AGAIN")
        if (Her2Classes.nameOf(object.getPathClass()) != className)
            throw new Her2Refusal("The region $label has the class " +
                "${Her2Classes.nameOf(object.getPathClass()) ?: 'none'} now; it was scored as " +
                "${className ?: 'none'}. $AGAIN")
        Geometry now = object.getROI().getGeometry()
        if (!Her2Shapes.same(now, shape, width, height) && !(mayBeCut && Her2Shapes.covers(now, shape)))
            throw new Her2Refusal("The outline of the region $label has changed since it was exported. $AGAIN")
        return object
    }

    /** Compare all classified annotations with the exported file, if it is byte for byte the one that was scored. */
    void compareWithFile(File her2, Her2Result result) {
        File file = regionFile(her2, result.imageId)
        if (result.regionsHash == null || file == null || Her2Result.sha256(file) != result.regionsHash)
            return
        Set<UUID> exported = []
        for (JsonElement element : features(file)) {
            JsonObject feature = element.getAsJsonObject()
            JsonObject properties = Her2Json.object(feature, "properties")
            String className = className(Her2Json.object(properties, "classification"))
            Geometry shape = Her2Shapes.read(Her2Json.object(feature, "geometry"))
            UUID id = uuid(Her2Json.text(feature, "id"))
            String kind = Her2Json.text(properties, "objectType") ?: "annotation"
            if (id == null || !(kind in ["annotation", "tmaCore"]) || Her2Ids.isMade(id, className))
                continue
            exported.add(id)
            if (shape != null && (isRegionClass(className) || kind == "tmaCore"))
                same(id, "${className ?: 'TMA core'} ($id)", shape, className)
        }
        refuseNewRegions(exported)
    }

    private void refuseNewRegions(Set<UUID> exported) {
        for (PathObject object : scan.regions.values()) {
            String className = Her2Classes.nameOf(object.getPathClass())
            boolean isRegion = object.isAnnotation() && object.getROI().isArea() && isRegionClass(className)
            // It could change which cells count, so the score would no longer describe the image.
            if (isRegion && !exported.contains(object.getID()))
                throw new Her2Refusal("The annotation $className (${object.getID()}) was drawn after the regions " +
                    "were exported. $AGAIN")
        }
    }

    private static boolean isRegionClass(String className) {
        return className != null && className != Her2Classes.PROPOSED &&
            !GRADES.contains(className.tokenize(":").last().trim())
    }

    private static String className(JsonObject classification) {
        List<String> names = Her2Json.texts(classification, "names")
        return names.isEmpty() ? Her2Json.text(classification, "name") : names.join(": ")
    }

    private static UUID uuid(String text) {
        try {
            return text == null ? null : UUID.fromString(text)
        } catch (IllegalArgumentException ignored) {
            // QuPath gives such an object a new UUID, so it cannot be matched by this one.
            return null
        }
    }

    private static File regionFile(File her2, String image) {
        for (String ending : [".geojson", ".geojson.gz"]) {
            File file = new File(new File(Her2ResultKind.root(her2), "regions"), image + ending)
            if (file.isFile())
                return file
        }
        return null
    }

    private static Iterable<JsonElement> features(File file) {
        InputStream stream = new FileInputStream(file)
        JsonElement content
        try (Reader reader = new InputStreamReader(file.name.endsWith(".gz") ? new GZIPInputStream(stream) : stream,
                StandardCharsets.UTF_8)) {
            content = JsonParser.parseReader(reader)
        }
        return content.isJsonArray() ? content.getAsJsonArray() : Her2Json.array(content.getAsJsonObject(), "features")
    }
}
