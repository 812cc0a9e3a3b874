import com.google.gson.JsonArray
import com.google.gson.JsonElement
import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import org.locationtech.jts.geom.Coordinate
import org.locationtech.jts.geom.Geometry
import org.locationtech.jts.geom.GeometryFactory
import org.locationtech.jts.geom.LinearRing
import org.locationtech.jts.geom.Polygon
import qupath.lib.geom.Point2
import qupath.lib.roi.interfaces.ROI

/**
 * Region geometries: read from GeoJSON, and compared within the 0.01 px to which QuPath rounds coordinates.
 */
@CompileStatic
class Her2Shapes {

    /** Outlines that differ by less than this are equal: both QuPath and Python round to 0.01 px. */
    static final double SAME_PX = 0.05

    private static final GeometryFactory FACTORY = new GeometryFactory()

    /** Read a GeoJSON polygon or multipolygon; null for anything else. */
    static Geometry read(JsonObject geometry) {
        String kind = Her2Json.text(geometry, "type")
        JsonArray coordinates = Her2Json.array(geometry, "coordinates")
        if (kind == "Polygon")
            return polygon(coordinates)
        if (kind != "MultiPolygon")
            return null
        List<Polygon> parts = []
        for (JsonElement part : coordinates)
            parts.add(polygon(part.getAsJsonArray()))
        return FACTORY.createMultiPolygon(parts as Polygon[])
    }

    private static Polygon polygon(JsonArray rings) {
        List<LinearRing> found = []
        for (JsonElement outline : rings)
            found.add(ring(outline.getAsJsonArray()))
        return FACTORY.createPolygon(found[0], found.subList(1, found.size()) as LinearRing[])
    }

    private static LinearRing ring(JsonArray points) {
        Coordinate[] coordinates = new Coordinate[points.size()]
        for (int i = 0; i < coordinates.length; i++) {
            JsonArray point = points.get(i).getAsJsonArray()
            coordinates[i] = new Coordinate(point.get(0).getAsDouble(), point.get(1).getAsDouble())
        }
        return FACTORY.createLinearRing(coordinates)
    }

    /** Whether two shapes are the same region of an image of this size, in whatever order their vertices are. */
    static boolean same(Geometry a, Geometry b, double width, double height) {
        // The quick test: norm() starts every ring at the same vertex. Buffers are needed only where vertices differ.
        if (a.norm().equalsExact(b.norm(), SAME_PX))
            return true
        // Regions are clipped to the image before scoring, so only the part inside counts.
        Geometry image = rectangle(width, height)
        Geometry inA = within(a, image)
        Geometry inB = within(b, image)
        return inA.buffer(SAME_PX).covers(inB) && inB.buffer(SAME_PX).covers(inA)
    }

    /** Whether a shape lies in another, but for the 0.01 px to which coordinates are rounded. */
    static boolean covers(Geometry whole, Geometry part) {
        return whole.buffer(SAME_PX).covers(part)
    }

    /** Whether a ROI in an image of this size has this outline: x, y, x, y, … */
    static boolean isOutline(float[] ring, ROI roi, double width, double height) {
        List<Point2> points = roi.getAllPoints()
        boolean isSame = 2 * points.size() == ring.length
        for (int i = 0; isSame && i < ring.length; i += 2) {
            Point2 point = points.get(i >> 1)
            isSame = Math.abs(point.x - ring[i]) < SAME_PX && Math.abs(point.y - ring[i + 1]) < SAME_PX
        }
        // An import from GeoJSON reorders vertices, and leaves out those on a straight line.
        return isSame || ring.length < 6 || same(roi.getGeometry(), polygon(ring), width, height)
    }

    private static Geometry polygon(float[] ring) {
        Coordinate[] points = new Coordinate[ring.length.intdiv(2) + 1]
        for (int i = 0; i < points.length; i++)
            points[i] = new Coordinate((double) ring[(2 * i) % ring.length], (double) ring[(2 * i + 1) % ring.length])
        return FACTORY.createPolygon(points)
    }

    /** The outline of a ROI as x, y, x, y, …; its bounding box if it is not a single polygon. */
    static float[] outline(ROI roi) {
        Geometry shape = roi.getGeometry()
        Coordinate[] points = shape instanceof Polygon ? ((Polygon) shape).getExteriorRing().getCoordinates() :
            shape.getEnvelope().getCoordinates()
        float[] ring = new float[2 * points.length]
        for (int i = 0; i < points.length; i++) {
            ring[2 * i] = (float) points[i].x
            ring[2 * i + 1] = (float) points[i].y
        }
        return ring
    }

    private static Geometry within(Geometry shape, Geometry image) {
        if (image.getEnvelopeInternal().covers(shape.getEnvelopeInternal()))
            return shape
        return shape.buffer(0).intersection(image)
    }

    private static Geometry rectangle(double width, double height) {
        return FACTORY.createPolygon([new Coordinate(0, 0), new Coordinate(width, 0), new Coordinate(width, height),
            new Coordinate(0, height), new Coordinate(0, 0)] as Coordinate[])
    }
}
