import com.google.gson.JsonElement
import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.nio.file.StandardOpenOption
import java.security.MessageDigest
import org.locationtech.jts.geom.Geometry

/**
 * A finished run of an image, read and checked completely: its record, regions, score, cells and patches. Nothing of a
 * run that is damaged, modified or of a newer format ever reaches a hierarchy.
 */
@CompileStatic
class Her2Result {

    private static final String AGAIN = "Score the image again with the option force (a setting of the script; " +
        "qupath-her2 run --force)."
    /** Bytes hashed per call. Java uses the processor's SHA-256 only in calls after it has compiled the method. */
    private static final int BLOCK = 1 << 16

    final File folder
    final String run
    /** The image's folder name in the exchange folder, and its name in QuPath. */
    final String imageId
    final String imageName
    final int width
    final int height
    /** µm per pixel used for scoring (NaN for none), and whether it came from QuPath. */
    final double pixelSize
    final boolean pixelSizeIsQuPaths
    final List<Region> regions
    /** SHA-256 of the region file that was scored; null if there was none. */
    final String regionsHash
    final JsonObject score
    /** Null if the run has no cells. */
    final Her2Cells cells
    /** Null if the run has no patches. */
    final Her2Patches patches

    private Her2Result(File folder) {
        this.folder = folder
        File file = new File(folder, "run.json")
        JsonObject record = Her2Json.read(file, AGAIN)
        Her2Json.checkFormat(record, file, AGAIN)
        checkFiles(folder, record)
        run = Her2Json.text(record, "run")
        JsonObject image = Her2Json.object(record, "image")
        imageId = Her2Json.text(image, "id")
        imageName = Her2Json.text(image, "name") ?: imageId
        width = size(image, "width")
        height = size(image, "height")
        Double pixel = Her2Json.number(image, "pixel_size_um")
        pixelSize = pixel == null ? Double.NaN : pixel
        pixelSizeIsQuPaths = Her2Json.text(image, "pixel_size_source") == "QuPath"
        regionsHash = Her2Json.text(Her2Json.object(record, "inputs"), "regions")
        regions = readRegions(folder, record)
        score = readScore(folder)
        cells = readCells(folder, record, regions.size())
        patches = readPatches(folder, record, regions.size())
        checkCount(record, "cells", cells)
        checkCount(record, "patches", patches)
        checkOneUuidEach()
    }

    /** Read and check a run; throws Her2Refusal if anything is wrong. */
    static Her2Result read(File folder) {
        try {
            return new Her2Result(folder)
        } catch (IllegalStateException | NumberFormatException | UnsupportedOperationException |
            ClassCastException problem) {
            // Thrown by gson for a member of another type than the format specifies.
            throw new Her2Refusal("'$folder' contains a file that does not follow format 1 ($problem). $AGAIN")
        }
    }

    private static int size(JsonObject image, String name) {
        Double value = Her2Json.number(image, name)
        if (value == null || value <= 0)
            throw new Her2Refusal("run.json: image.$name is ${image.get(name)}, not a size in pixels. $AGAIN")
        return value.intValue()
    }

    private static void checkFiles(File folder, JsonObject record) {
        if (Her2Json.text(record, "run") != folder.name)
            throw new Her2Refusal("'$folder' contains the record of run '${Her2Json.text(record, 'run')}'. $AGAIN")
        JsonObject hashes = Her2Json.object(record, "files")
        JsonObject sizes = Her2Json.object(record, "sizes")
        Set<String> found = new TreeSet<String>(folder.list() as List<String>)
        found.remove("run.json")
        if (found != new TreeSet<String>(hashes.keySet()))
            throw new Her2Refusal("'$folder' contains the files ${found.join(', ')}, but its record lists " +
                "${hashes.keySet().join(', ')}. $AGAIN")
        for (String name : found) {
            File file = new File(folder, name)
            Double size = Her2Json.number(sizes, name)
            if (size == null || file.length() != size.longValue() || sha256(file) != Her2Json.text(hashes, name))
                throw new Her2Refusal("'$file' was changed after the run. $AGAIN")
        }
    }

    /** SHA-256 of a file as 64 hex digits. */
    static String sha256(File file) {
        MessageDigest digest = MessageDigest.getInstance("SHA-256")
        ByteBuffer block = ByteBuffer.allocate(BLOCK)
        try (FileChannel channel = FileChannel.open(file.toPath(), StandardOpenOption.READ)) {
            while (channel.read(block) >= 0) {
                block.flip()
                digest.update(block)
                block.clear()
            }
        }
        return HexFormat.of().formatHex(digest.digest())
    }

    private static List<Region> readRegions(File folder, JsonObject record) {
        Map<UUID, JsonObject> features = [:]
        File file = new File(folder, "regions.geojson")
        for (JsonElement element : Her2Json.array(Her2Json.read(file, AGAIN), "features")) {
            JsonObject feature = element.getAsJsonObject()
            features.put(UUID.fromString(Her2Json.text(feature, "id")), feature)
        }
        List<Region> found = []
        for (JsonElement element : Her2Json.array(record, "regions")) {
            JsonObject entry = element.getAsJsonObject()
            UUID id = UUID.fromString(Her2Json.text(entry, "uuid"))
            if (!features.containsKey(id))
                throw new Her2Refusal("'$file' lacks region $id of run.json. $AGAIN")
            found.add(region(id, entry, features.get(id)))
        }
        return found
    }

    private static Region region(UUID id, JsonObject entry, JsonObject feature) {
        JsonObject properties = Her2Json.object(feature, "properties")
        Region region = new Region(id: id, name: Her2Json.text(entry, "name"),
            className: Her2Json.text(entry, "class"), isCore: Her2Json.text(entry, "is_core") == "true",
            shape: Her2Shapes.read(Her2Json.object(feature, "geometry")))
        if (region.shape == null)
            throw new Her2Refusal("regions.geojson: region $id is not a polygon. $AGAIN")
        JsonObject values = Her2Json.object(properties, "measurements")
        for (String name : values.keySet()) {
            if (!name.startsWith(Her2ResultKind.PREFIX))
                throw new Her2Refusal("regions.geojson: the measurement '$name' does not start with 'HER2: '. $AGAIN")
            region.measurements.put(name, values.get(name).getAsDouble())
        }
        return region
    }

    private static JsonObject readScore(File folder) {
        File file = new File(folder, "score.json")
        JsonObject score = Her2Json.read(file, AGAIN)
        Her2Json.checkFormat(score, file, AGAIN)
        boolean isKnown = Her2Json.text(score, "status") in ["scored", "not assessable", "predicted", "proposed"]
        if (!isKnown || Her2Json.text(score, "reason") == null)
            throw new Her2Refusal("'$file' is not a HER2 result (status ${score.get('status')}). $AGAIN")
        return score
    }

    private static Her2Cells readCells(File folder, JsonObject record, int regions) {
        File file = new File(folder, "cells.npz")
        if (!file.isFile())
            return null
        JsonObject names = Her2Json.object(record, "cells")
        List<String> measurements = Her2Json.texts(names, "measurements")
        for (String name : measurements)
            if (!name.startsWith(Her2ResultKind.PREFIX))
                throw new Her2Refusal("run.json: the measurement '$name' does not start with 'HER2: '. $AGAIN")
        return new Her2Cells(file, measurements, Her2Json.texts(names, "classes"), regions)
    }

    private static Her2Patches readPatches(File folder, JsonObject record, int regions) {
        File file = new File(folder, "patches.npz")
        return !file.isFile() ? null :
            new Her2Patches(file, Her2Json.texts(Her2Json.object(record, "patches"), "classes"), regions)
    }

    private void checkCount(JsonObject record, String kind, Her2Table table) {
        Double count = Her2Json.number(Her2Json.object(record, "counts"), kind)
        int found = table == null ? 0 : table.count
        if (count != null && count.intValue() != found)
            throw new Her2Refusal("'$folder' has $found $kind, but its record counts ${count.intValue()}. $AGAIN")
    }

    private void checkOneUuidEach() {
        if (cells == null || patches == null)
            return
        Set<UUID> seen = new HashSet<UUID>()
        for (int row = 0; row < patches.count; row++)
            seen.add(patches.uuid.uuid(row))
        for (int row = 0; row < cells.count; row++)
            if (seen.contains(cells.uuid.uuid(row)))
                throw new Her2Refusal("'$folder' has the UUID ${cells.uuid.uuid(row)} for both a cell and a patch. " +
                    AGAIN)
    }

    /** The score, or the class predicted by a network, as shown in the project browser. */
    String scoreText() {
        if (Her2Json.text(score, "status") == "proposed")
            return "${regions.size()} proposed"
        return Her2Json.text(score, "score") ?: !isPrediction() ? "not assessable" :
            Her2Json.text(Her2Json.object(score, "prediction"), "class_name") ?: "no class"
    }

    /** The guideline and where it came from, `NAME (ORIGIN)`; null if the result does not say. */
    String guideline() {
        String origin = Her2Json.text(score, "guideline_origin")
        return origin ? "${Her2Json.text(score, 'guideline')} ($origin)" : null
    }

    /** Whether it was predicted by a network, and is thus not a score by a guideline. */
    boolean isPrediction() {
        return Her2Json.text(score, "status") == "predicted"
    }

    /**
     * A scored region: its annotation, the outline that was scored, and its measurements.
     */
    @CompileStatic
    static final class Region {

        UUID id
        String name
        String className
        Geometry shape
        /** Whether it is a TMA core; only the tumour in it was scored if any was drawn. */
        boolean isCore
        /** Names start with "HER2: ". */
        Map<String, Double> measurements = [:]

        /** Whether we made the region (whole tissue, a proposal), so that it has no annotation of the user. */
        boolean isOurs() {
            return Her2Ids.isMade(id, className)
        }

        /** The region as shown in messages. */
        String label() {
            return "${className ?: 'annotation'}${name ? " '" + name + "'" : ''} ($id)"
        }
    }
}
