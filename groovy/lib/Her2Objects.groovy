import groovy.transform.CompileStatic
import java.nio.DoubleBuffer
import java.nio.FloatBuffer
import java.nio.IntBuffer
import java.util.function.BooleanSupplier
import java.util.function.IntFunction
import qupath.lib.measurements.MeasurementList
import qupath.lib.measurements.MeasurementListFactory
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs
import qupath.lib.roi.interfaces.ROI

/**
 * Builds QuPath cells and tiles from the rows of a run's tables, in parallel; they are not yet in any hierarchy.
 */
@CompileStatic
class Her2Objects {

    /** Bit mask, one less than a power of two: cancellation is checked once per 2048 cells. */
    private static final int CHECK_MASK = 2047

    /**
     * Cells of the given rows.
     *
     * @param classes indexed by the class codes of the table
     * @param planes the image plane of each region
     * @param cancelled checked from time to time
     */
    static PathObject[] cells(Her2Cells table, int[] rows, PathClass[] classes, ImagePlane[] planes,
            BooleanSupplier cancelled) {
        PathObject[] built = new PathObject[rows.length]
        try {
            Arrays.parallelSetAll(built, new Builder(table, rows, classes, planes, cancelled))
        } catch (RuntimeException problem) {
            // Java rethrows a copy of another thread's exception, with another message and the original as its cause.
            throw problem.cause?.class == problem.class ? (RuntimeException) problem.cause : problem
        }
        return built
    }

    /** Builds the cells of a table. It has fields because variables captured by a closure are cast for each cell. */
    @CompileStatic
    static final class Builder implements IntFunction<PathObject> {
        final Her2Cells table
        final IntBuffer rows
        final List<PathClass> classes
        final List<ImagePlane> planes
        final BooleanSupplier cancelled
        final Name names

        Builder(Her2Cells table, int[] rows, PathClass[] classes, ImagePlane[] planes, BooleanSupplier cancelled) {
            this.table = table
            this.rows = IntBuffer.wrap(rows)
            this.classes = Arrays.asList(classes)
            this.planes = Arrays.asList(planes)
            this.cancelled = cancelled
            this.names = Name.chain(table.measurementNames)
        }

        @Override
        PathObject apply(int i) {
            if ((i & CHECK_MASK) == 0 && cancelled.getAsBoolean())
                throw new Her2Cancelled()
            int row = rows.get(i)
            ImagePlane plane = planes.get(table.regionOf(row))
            ROI outline = polygon(table.cellXy, table.cellOffsets, row, plane)
            ROI nucleus = polygon(table.nucleusXy, table.nucleusOffsets, row, plane)
            int code = table.classCode(row)
            PathObject cell = PathObjects.createCellObject(outline, nucleus, code < 0 ? null : classes.get(code),
                measurements(table.measurements, row, names))
            cell.setID(table.uuid.uuid(row))
            return cell
        }
    }

    /**
     * Measurement names as a linked chain. Groovy casts every element read from a list: ten casts per cell, which are
     * slow until Java has compiled them.
     */
    @CompileStatic
    static final class Name {
        final String text
        final Name next

        private Name(String text, Name next) {
            this.text = text
            this.next = next
        }

        static Name chain(List<String> names) {
            Name first = null
            // QuPath shares one list of names among measurement lists only if the names are identical string objects.
            for (String text : names.reverse())
                first = new Name(text.intern(), first)
            return first
        }

        /** The length of a chain; 0 for null. */
        static int count(Name first) {
            int n = 0
            for (Name name = first; name != null; name = name.next)
                n++
            return n
        }
    }

    static ROI polygon(Her2Column xy, Her2Column offsets, int row, ImagePlane plane) {
        int first = (int) offsets.longs.get(row)
        int n = (int) offsets.longs.get(row + 1) - first
        if (n == 0)
            return null
        FloatBuffer values = xy.floats
        DoubleBuffer x = DoubleBuffer.allocate(n)
        DoubleBuffer y = DoubleBuffer.allocate(n)
        int last = 2 * (first + n)
        for (int at = 2 * first; at < last; at += 2) {
            x.put(values.get(at))
            y.put(values.get(at + 1))
        }
        return ROIs.createPolygonROI(x.array(), y.array(), plane)
    }

    /** Tiles of the given rows; parameters as for `cells`. */
    static PathObject[] tiles(Her2Patches table, int[] rows, PathClass[] classes, ImagePlane[] planes,
            BooleanSupplier cancelled) {
        PathObject[] built = new PathObject[rows.length]
        Name names = Name.chain(table.measurementNames)
        for (int i = 0; i < rows.length; i++) {
            if ((i & CHECK_MASK) == 0 && cancelled.getAsBoolean())
                throw new Her2Cancelled()
            int row = rows[i]
            ROI box = ROIs.createRectangleROI(table.side(row, 0), table.side(row, 1), table.side(row, 2),
                table.side(row, 3), planes[table.regionOf(row)])
            int code = table.classCode(row)
            built[i] = PathObjects.createTileObject(box, code < 0 ? null : classes[code],
                measurements(table.probabilities, row, names))
            built[i].setID(table.uuid.uuid(row))
        }
        return built
    }

    static MeasurementList measurements(Her2Column values, int row, Name names) {
        MeasurementList list = MeasurementListFactory.createMeasurementList(Name.count(names),
            MeasurementList.MeasurementListType.FLOAT)
        put(values, row, names, list)
        return list
    }

    /** Put the measurements of a row on a list; `names` are those of all columns. */
    static void put(Her2Column column, int row, Name names, MeasurementList list) {
        FloatBuffer values = column.floats
        int at = row * Name.count(names)
        for (Name name = names; name != null; name = name.next) {
            float value = values.get(at++)
            // NaN means "not measured": the measurement is left out rather than stored as NaN.
            if (!Float.isNaN(value))
                list.put(name.text, value)
        }
        list.close()
    }
}
