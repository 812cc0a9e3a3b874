import com.google.gson.Gson
import com.google.gson.GsonBuilder
import groovy.transform.CompileStatic
import java.nio.charset.StandardCharsets
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject

/**
 * Exports what a person changed in the cells of our results: those that she reclassified, with the class and the place
 * they have now, and the outlines of those that she deleted, with the UUIDs that they had where a run still has them.
 * Scoring counts them as she left them.
 *
 * One feature per line, in a fixed order, so that two exports can be compared line by line.
 */
@CompileStatic
class Her2ExportCorrections {

    private static final Gson GSON = new GsonBuilder().disableHtmlEscaping().serializeNulls().create()

    /** A feature collection in UTF-8; null if nobody changed a cell. */
    static byte[] bytes(ImageData<?> image, File her2, String imageId) {
        List<String> lines = linesOf(image, her2, imageId)
        for (UUID field : Her2ImageProperties.fields(image))
            lines.addAll(linesOf(image, Her2ResultKind.field(her2, field), imageId))
        if (lines.isEmpty())
            return null
        lines.sort()
        return "{\"features\":[\n${lines.join(',\n')}\n],\"type\":\"FeatureCollection\"}\n".toString()
            .getBytes(StandardCharsets.UTF_8)
    }

    /** The changes in the cells of one kind of scores, a line each. */
    private static List<String> linesOf(ImageData<?> image, File her2, String imageId) {
        Her2Plan plan = Her2Plan.corrections(image, her2, imageId)
        Her2WrittenOutlines written = new Her2WrittenOutlines(her2, imageId)
        List<String> lines = []
        for (Her2Plan.Kept kept : plan.keptCells)
            lines.add(feature(kept.ring, kept.object.getID(), reclassified(kept.object)))
        for (PathObject cell : plan.existing.reclassified())
            lines.add(feature(null, cell.getID(), reclassified(cell)))
        for (float[] ring : plan.cells.deleted)
            lines.add(feature(ring, written.idOf(ring), "\"change\":\"deleted\""))
        return lines
    }

    private static String reclassified(PathObject cell) {
        StringBuilder out = new StringBuilder("\"centroid\":[")
        Her2ExportRegions.number(out, cell.getROI().getCentroidX())
        out.append(",")
        Her2ExportRegions.number(out, cell.getROI().getCentroidY())
        String name = GSON.toJson(Her2Classes.nameOf(cell.getPathClass()))
        return out.append("],\"change\":\"class\",\"class\":").append(name).toString()
    }

    private static String feature(float[] ring, UUID id, String properties) {
        StringBuilder out = new StringBuilder("{\"geometry\":")
        shape(out, ring)
        out.append(",\"id\":").append(GSON.toJson(id?.toString()))
        return out.append(",\"properties\":{").append(properties).append("},\"type\":\"Feature\"}").toString()
    }

    private static void shape(StringBuilder out, float[] ring) {
        if (ring == null) {
            out.append("null")
            return
        }
        out.append("{\"coordinates\":[[")
        // GeoJSON repeats the first vertex; the outline of an object drawn by a person may do so already.
        boolean isClosed = ring[0] == ring[ring.length - 2] && ring[1] == ring[ring.length - 1]
        int n = ring.length.intdiv(2) + (isClosed ? 0 : 1)
        for (int i = 0; i < n; i++) {
            int at = (2 * i) % ring.length
            out.append(i == 0 ? "[" : ",[")
            Her2ExportRegions.number(out, ring[at])
            out.append(",")
            Her2ExportRegions.number(out, ring[at + 1])
            out.append("]")
        }
        out.append("]],\"type\":\"Polygon\"}")
    }
}
