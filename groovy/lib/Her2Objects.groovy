import groovy.transform.CompileStatic
import java.util.function.BooleanSupplier
import java.util.function.IntConsumer
import java.util.stream.IntStream
import qupath.lib.measurements.MeasurementList
import qupath.lib.measurements.MeasurementListFactory
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs
import qupath.lib.roi.interfaces.ROI

/**
 * Rows of a table of cells as QuPath's own cell objects, built on all processors and not yet in any hierarchy.
 */
@CompileStatic
class Her2Objects {

    private static final int CHUNK = 2048

    /**
     * Cells of the given rows.
     *
     * @param classes by the codes of the table
     * @param planes of each region
     * @param cancelled asked before every chunk
     */
    static PathObject[] cells(Her2Cells table, int[] rows, PathClass[] classes, ImagePlane[] planes, BooleanSupplier cancelled) {
        PathObject[] built = new PathObject[rows.length]
        String[] names = table.measurementNames as String[]
        // QuPath shares the list of names among lists only if the names are the same strings.
        for (int i = 0; i < names.length; i++)
            names[i] = names[i].intern()
        int chunks = (int) ((rows.length + CHUNK - 1L).intdiv(CHUNK))
        IntStream.range(0, chunks).parallel().forEach(new IntConsumer() {
            @Override
            void accept(int chunk) {
                if (cancelled.getAsBoolean())
                    throw new Her2Cancelled()
                int last = Math.min(rows.length, (chunk + 1) * CHUNK)
                for (int i = chunk * CHUNK; i < last; i++)
                    built[i] = cell(table, rows[i], names, classes, planes)
            }
        })
        return built
    }

    private static PathObject cell(Her2Cells table, int row, String[] names, PathClass[] classes, ImagePlane[] planes) {
        ImagePlane plane = planes[table.region.i32(row)]
        ROI outline = polygon(table.cellXy, table.cellOffsets, row, plane)
        ROI nucleus = polygon(table.nucleusXy, table.nucleusOffsets, row, plane)
        int code = table.classCode(row)
        PathObject cell = PathObjects.createCellObject(outline, nucleus, code < 0 ? null : classes[code],
            measurements(table, row, names))
        cell.setID(table.uuid.uuid(row))
        return cell
    }

    private static ROI polygon(Her2Column xy, Her2Column offsets, int row, ImagePlane plane) {
        int first = (int) offsets.i64(row)
        int n = (int) offsets.i64(row + 1) - first
        if (n == 0)
            return null
        double[] x = new double[n]
        double[] y = new double[n]
        for (int i = 0; i < n; i++) {
            x[i] = xy.f32(2 * (first + i))
            y[i] = xy.f32(2 * (first + i) + 1)
        }
        return ROIs.createPolygonROI(x, y, plane)
    }

    private static MeasurementList measurements(Her2Cells table, int row, String[] names) {
        MeasurementList list = MeasurementListFactory.createMeasurementList(names.length, MeasurementList.MeasurementListType.FLOAT)
        int first = row * names.length
        for (int i = 0; i < names.length; i++) {
            float value = table.measurements.f32(first + i)
            // NaN is "not measured": no measurement, rather than one that is no number.
            if (!Float.isNaN(value))
                list.put(names[i], value)
        }
        list.close()
        return list
    }

    /** Set our measurements of a row on an object that is there already. */
    static void measure(Her2Cells table, int row, MeasurementList list) {
        int n = table.measurementNames.size()
        for (int i = 0; i < n; i++) {
            float value = table.measurements.f32(row * n + i)
            if (!Float.isNaN(value))
                list.put(table.measurementNames[i], value)
        }
        list.close()
    }
}
