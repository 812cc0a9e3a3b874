import groovy.transform.CompileStatic
import java.nio.LongBuffer

/**
 * The cell table of a run, cells.npz format 1.
 *
 * Coordinates are level-0 pixels of the image as QuPath shows it. Outlines are open rings; a cell without a nucleus has
 * an empty nucleus ring.
 */
@CompileStatic
class Her2Cells extends Her2Table {

    private static final Map<String, String> COLUMNS = [
        uuid           : "|u1 2",
        centroid_xy    : "<f4 2",
        cell_xy        : "<f4 2",
        cell_offsets   : "<i8 1",
        nucleus_xy     : "<f4 2",
        nucleus_offsets: "<i8 1",
        region         : "<i4 1",
        measurements   : "<f4 2",
        cell_class     : "|u1 1",
    ]

    final Her2Column centroid
    final Her2Column cellXy
    final Her2Column cellOffsets
    final Her2Column nucleusXy
    final Her2Column nucleusOffsets
    final Her2Column measurements
    final List<String> measurementNames

    /** Read `file`; the names and the number of regions come from run.json. */
    Her2Cells(File file, List<String> measurementNames, List<String> classNames, int regions) {
        super(file, "cell", COLUMNS, classNames, regions)
        this.measurementNames = measurementNames
        centroid = column("centroid_xy")
        cellXy = column("cell_xy")
        cellOffsets = column("cell_offsets")
        nucleusXy = column("nucleus_xy")
        nucleusOffsets = column("nucleus_offsets")
        measurements = column("measurements")
        checkShape(centroid, count, 2)
        checkShape(measurements, count, measurementNames.size())
        checkRings("cell", cellXy, cellOffsets)
        checkRings("nucleus", nucleusXy, nucleusOffsets)
        checkFinite(centroid)
    }

    private void checkRings(String part, Her2Column xy, Her2Column offsets) {
        checkShape(offsets, count + 1, 1)
        checkShape(xy, xy.rows, 2)
        LongBuffer starts = offsets.longs
        // Existing cells of other tools may have no nucleus, but every cell has an outline.
        boolean mayBeEmpty = part == "nucleus"
        long before = 0
        boolean bad = starts.get(0) != 0
        for (int i = 1; i <= count && !bad; i++) {
            long next = starts.get(i)
            long vertices = next - before
            before = next
            if (vertices == 1 || vertices == 2)
                throw problem("${part}_offsets give cell ${i - 1} an outline of fewer than 3 vertices")
            bad = vertices < 0 || (vertices == 0 && !mayBeEmpty)
        }
        if (bad || before != xy.rows)
            throw problem("${part}_offsets do not increase from 0 to the ${xy.rows} vertices")
        checkFinite(xy)
    }

    @Override
    float x(int cell) {
        return centroid.floats.get(2 * cell)
    }

    @Override
    float y(int cell) {
        return centroid.floats.get(2 * cell + 1)
    }

    @Override
    float[] outline(int cell) {
        return Arrays.copyOfRange(cellXy.floats.array(), 2 * (int) cellOffsets.longs.get(cell),
            2 * (int) cellOffsets.longs.get(cell + 1))
    }
}
