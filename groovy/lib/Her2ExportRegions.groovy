import com.google.gson.Gson
import com.google.gson.GsonBuilder
import groovy.transform.CompileStatic
import java.nio.charset.StandardCharsets
import org.locationtech.jts.geom.Coordinate
import org.locationtech.jts.geom.Geometry
import org.locationtech.jts.geom.GeometryCollection
import org.locationtech.jts.geom.LineString
import org.locationtech.jts.geom.Point
import org.locationtech.jts.geom.Polygon
import qupath.lib.objects.PathObject
import qupath.lib.objects.TMACoreObject
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.EllipseROI
import qupath.lib.roi.interfaces.ROI

/**
 * Exports the user's annotations and TMA cores as GeoJSON: outline, class, name and lock, and nothing that scoring
 * changes. The same shapes give the same bytes in every QuPath version, so a changed file means changed regions.
 *
 * QuPath's own writer is not used: its colours depend on the classes seen earlier in the session, its order depends on
 * the hierarchy, and it cannot write several lines in one annotation (qupath#2115). QuPath can read these files.
 */
@CompileStatic
class Her2ExportRegions {

    private static final Gson GSON = new GsonBuilder().disableHtmlEscaping().create()

    /**
     * The objects to export, sorted by ID: the user's annotations, those of ours that have a class (proposals, accepted
     * or not), and all TMA cores, also those marked missing.
     */
    static List<PathObject> objectsOf(PathObjectHierarchy hierarchy) {
        List<PathObject> found = new ArrayList<PathObject>()
        for (PathObject annotation : hierarchy.getAnnotationObjects())
            if (isExported(annotation) && annotation.getROI() != null)
                found.add(annotation)
        if (hierarchy.getTMAGrid() != null)
            found.addAll(hierarchy.getTMAGrid().getTMACoreList())
        found.sort { PathObject one, PathObject other -> one.getID().toString() <=> other.getID().toString() }
        return found
    }

    private static boolean isExported(PathObject annotation) {
        return !Her2Ids.isOurs(annotation.getID()) || Her2Classes.nameOf(annotation.getPathClass()) != null
    }

    /** A feature collection in UTF-8: one feature per line, sorted keys, coordinates rounded to 0.01 px. */
    static byte[] bytes(List<PathObject> objects) {
        StringBuilder out = new StringBuilder("{\"features\":[")
        String end = "\n"
        for (PathObject object : objects) {
            out.append(end)
            feature(out, object)
            end = ",\n"
        }
        out.append("\n],\"type\":\"FeatureCollection\"}\n")
        return out.toString().getBytes(StandardCharsets.UTF_8)
    }

    private static void feature(StringBuilder out, PathObject object) {
        out.append("{\"geometry\":")
        shape(out, object)
        out.append(",\"id\":\"").append(object.getID().toString()).append("\",\"properties\":{")
        if (object.getPathClass() != null && object.getPathClass() != PathClass.NULL_CLASS)
            classification(out, object.getPathClass())
        if (object.isLocked())
            out.append("\"isLocked\":true,")
        // As QuPath writes it: results list a missing core, and never score it.
        if (object instanceof TMACoreObject && ((TMACoreObject) object).isMissing())
            out.append("\"isMissing\":true,")
        if (object.getName())
            out.append("\"name\":").append(GSON.toJson(object.getName())).append(",")
        out.append("\"objectType\":\"").append(object.isTMACore() ? "tmaCore" : "annotation")
        out.append("\"},\"type\":\"Feature\"}")
    }

    /** QuPath rejects a class without a colour but accepts null; a real colour could differ between sessions. */
    private static void classification(StringBuilder out, PathClass pathClass) {
        List<String> names = new ArrayList<String>()
        for (PathClass at = pathClass; at != null; at = at.getParentClass())
            names.add(0, at.getName())
        out.append("\"classification\":{\"color\":null,")
        if (names.size() == 1)
            out.append("\"name\":").append(GSON.toJson(names[0]))
        else
            out.append("\"names\":").append(GSON.toJson(names))
        out.append("},")
    }

    private static void shape(StringBuilder out, PathObject object) {
        ROI roi = object.getROI()
        Geometry geometry = roi.getGeometry()
        // Repaired and merged outlines start at different vertices in different sessions, and QuPath 0.6 sorts points.
        if (geometry.getDimension() != 1)
            geometry = geometry.norm()
        out.append("{\"coordinates\":")
        coordinates(out, geometry)
        if (roi instanceof EllipseROI)
            out.append(",\"isEllipse\":true")
        ImagePlane plane = roi.getImagePlane()
        if (plane != ImagePlane.getDefaultPlane())
            out.append(",\"plane\":{\"c\":").append(plane.getC()).append(",\"t\":").append(plane.getT())
                .append(",\"z\":").append(plane.getZ()).append("}")
        out.append(",\"type\":\"").append(geometry.getGeometryType()).append("\"}")
    }

    private static void coordinates(StringBuilder out, Geometry geometry) {
        if (geometry instanceof Point) {
            pair(out, geometry.getCoordinate())
        } else if (geometry instanceof LineString) {
            pairs(out, geometry.getCoordinates())
        } else if (geometry instanceof Polygon) {
            Polygon polygon = (Polygon) geometry
            out.append("[")
            pairs(out, polygon.getExteriorRing().getCoordinates())
            for (int i = 0; i < polygon.getNumInteriorRing(); i++) {
                out.append(",")
                pairs(out, polygon.getInteriorRingN(i).getCoordinates())
            }
            out.append("]")
        } else {
            GeometryCollection parts = (GeometryCollection) geometry
            out.append("[")
            for (int i = 0; i < parts.getNumGeometries(); i++) {
                if (i > 0)
                    out.append(",")
                coordinates(out, parts.getGeometryN(i))
            }
            out.append("]")
        }
    }

    private static void pairs(StringBuilder out, Coordinate[] points) {
        out.append("[")
        for (int i = 0; i < points.length; i++) {
            if (i > 0)
                out.append(",")
            pair(out, points[i])
        }
        out.append("]")
    }

    private static void pair(StringBuilder out, Coordinate point) {
        out.append("[")
        if (point != null) {
            number(out, point.x)
            out.append(",")
            number(out, point.y)
        }
        out.append("]")
    }

    /** A number with two decimals by integer arithmetic: Java versions print floating-point numbers differently. */
    static void number(StringBuilder out, double value) {
        long hundredths = Math.round(value * 100d)
        if (hundredths < 0)
            out.append("-")
        long size = Math.abs(hundredths)
        out.append(size.intdiv(100L))
        int rest = (int) (size % 100L)
        if (rest != 0) {
            out.append(".").append(rest.intdiv(10))
            if (rest % 10 != 0)
                out.append(rest % 10)
        }
    }
}
