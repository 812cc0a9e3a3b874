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
 * Rows of a run's tables as QuPath's own cells and tiles, built on all processors and not yet in any hierarchy.
 */
@CompileStatic
class Her2Objects {

    /** Cells between two questions whether it was cancelled; one less than a power of two. */
    private static final int ASK_EVERY = 2047

    /**
     * Cells of the given rows.
     *
     * @param classes by the codes of the table
     * @param planes of each region
     * @param cancelled asked now and then
     */
    static PathObject[] cells(Her2Cells table, int[] rows, PathClass[] classes, ImagePlane[] planes,
            BooleanSupplier cancelled) {
        // QuPath shares a list of names among lists of measurements only if the names are the same strings.
        List<String> names = table.measurementNames.collect { String name -> name.intern() }
        List<PathClass> byCode = Arrays.asList(classes)
        List<ImagePlane> byRegion = Arrays.asList(planes)
        IntBuffer chosen = IntBuffer.wrap(rows)
        PathObject[] built = new PathObject[rows.length]
        try {
            Arrays.parallelSetAll(built, new IntFunction<PathObject>() {
                @Override
                PathObject apply(int i) {
                    if ((i & ASK_EVERY) == 0 && cancelled.getAsBoolean())
                        throw new Her2Cancelled()
                    return cell(table, chosen.get(i), names, byCode, byRegion)
                }
            })
        } catch (RuntimeException problem) {
            // Java hands on a copy of what another thread threw, with the original as its cause and other words.
            throw problem.cause?.class == problem.class ? (RuntimeException) problem.cause : problem
        }
        return built
    }

    private static PathObject cell(Her2Cells table, int row, List<String> names, List<PathClass> classes,
            List<ImagePlane> planes) {
        ImagePlane plane = planes.get(table.regionOf(row))
        ROI outline = polygon(table.cellXy, table.cellOffsets, row, plane)
        ROI nucleus = polygon(table.nucleusXy, table.nucleusOffsets, row, plane)
        int code = table.classCode(row)
        PathObject cell = PathObjects.createCellObject(outline, nucleus, code < 0 ? null : classes.get(code),
            measurements(table.measurements, row, names))
        cell.setID(table.uuid.uuid(row))
        return cell
    }

    private static ROI polygon(Her2Column xy, Her2Column offsets, int row, ImagePlane plane) {
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

    /** Tiles of the given rows; the other parameters as for cells. */
    static PathObject[] tiles(Her2Patches table, int[] rows, PathClass[] classes, ImagePlane[] planes,
            BooleanSupplier cancelled) {
        PathObject[] built = new PathObject[rows.length]
        for (int i = 0; i < rows.length; i++) {
            if ((i & ASK_EVERY) == 0 && cancelled.getAsBoolean())
                throw new Her2Cancelled()
            int row = rows[i]
            ROI box = ROIs.createRectangleROI(table.side(row, 0), table.side(row, 1), table.side(row, 2),
                table.side(row, 3), planes[table.regionOf(row)])
            int code = table.classCode(row)
            built[i] = PathObjects.createTileObject(box, code < 0 ? null : classes[code],
                measurements(table.probabilities, row, table.measurementNames))
            built[i].setID(table.uuid.uuid(row))
        }
        return built
    }

    private static MeasurementList measurements(Her2Column values, int row, List<String> names) {
        MeasurementList list = MeasurementListFactory.createMeasurementList(names.size(),
            MeasurementList.MeasurementListType.FLOAT)
        put(values, row, names, list)
        return list
    }

    /** Set our measurements of a row on an object that is there already. */
    static void measure(Her2Cells table, int row, MeasurementList list) {
        put(table.measurements, row, table.measurementNames, list)
    }

    private static void put(Her2Column column, int row, List<String> names, MeasurementList list) {
        FloatBuffer values = column.floats
        int n = names.size()
        int first = row * n
        for (int i = 0; i < n; i++) {
            float value = values.get(first + i)
            // NaN is "not measured": no measurement, rather than one that is no number.
            if (!Float.isNaN(value))
                list.put(names.get(i), value)
        }
        list.close()
    }
}
