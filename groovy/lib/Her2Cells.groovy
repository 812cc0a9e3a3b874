import groovy.transform.CompileStatic
import java.nio.FloatBuffer
import java.nio.LongBuffer
import java.util.zip.ZipEntry
import java.util.zip.ZipException
import java.util.zip.ZipFile

/**
 * The table of cells of a run, cells.npz format 1, read whole and checked whole.
 *
 * Coordinates are level-0 pixels of the image as QuPath shows it. Outlines are open rings; an empty ring of a
 * nucleus means that there is none.
 */
@CompileStatic
class Her2Cells {

    static final int NOT_MEASURED = 255

    final int count
    final Her2Column uuid
    final Her2Column centroid
    final Her2Column cellXy
    final Her2Column cellOffsets
    final Her2Column nucleusXy
    final Her2Column nucleusOffsets
    final Her2Column region
    final Her2Column measurements
    final Her2Column cellClass
    final List<String> measurementNames
    final List<String> classNames

    private final String where

    /** Read `file`; the names and the number of regions stand in the run's record. */
    Her2Cells(File file, List<String> measurementNames, List<String> classNames, int regions) {
        where = "'$file'"
        this.measurementNames = measurementNames
        this.classNames = classNames
        try (ZipFile archive = new ZipFile(file)) {
            uuid = column(archive, "uuid", "|u1", 2)
            centroid = column(archive, "centroid_xy", "<f4", 2)
            cellXy = column(archive, "cell_xy", "<f4", 2)
            cellOffsets = column(archive, "cell_offsets", "<i8", 1)
            nucleusXy = column(archive, "nucleus_xy", "<f4", 2)
            nucleusOffsets = column(archive, "nucleus_offsets", "<i8", 1)
            region = column(archive, "region", "<i4", 1)
            measurements = column(archive, "measurements", "<f4", 2)
            cellClass = column(archive, "cell_class", "|u1", 1)
        } catch (ZipException problem) {
            throw new Her2Refusal("$where is damaged (${problem.message}). Score the image again with --force.")
        }
        count = uuid.rows
        checkShapes()
        checkRings("cell", cellXy, cellOffsets)
        checkRings("nucleus", nucleusXy, nucleusOffsets)
        checkFinite("centroid_xy", centroid)
        checkCodes(regions)
        checkUuids()
    }

    private Her2Column column(ZipFile archive, String name, String type, int axes) {
        ZipEntry entry = archive.getEntry("${name}.npy".toString())
        if (entry == null)
            throw problem("has no column '$name'")
        if (entry.getMethod() != ZipEntry.STORED)
            throw problem("column '$name' is compressed; format 1 stores it as it is")
        if (entry.getSize() > Integer.MAX_VALUE - 64)
            throw problem("column '$name' holds ${entry.getSize()} bytes; QuPath's Java reads 2 GB at once. Score fewer regions at a time")
        byte[] content = new byte[(int) entry.getSize()]
        InputStream stream = archive.getInputStream(entry)
        if (stream.readNBytes(content, 0, content.length) != content.length)
            throw problem("column '$name' is cut short")
        return new Her2Column(where, name, content, type, axes)
    }

    private Her2Refusal problem(String what) {
        return new Her2Refusal("$where: $what. Score the image again with --force.")
    }

    private void checkShapes() {
        checkShape(uuid, count, 16)
        checkShape(centroid, count, 2)
        checkShape(cellOffsets, count + 1, 1)
        checkShape(nucleusOffsets, count + 1, 1)
        checkShape(region, count, 1)
        checkShape(measurements, count, measurementNames.size())
        checkShape(cellClass, count, 1)
    }

    private void checkShape(Her2Column column, int rows, int columns) {
        if (column.rows != rows || column.columns != columns)
            throw problem("${column.name} has shape (${column.rows}, ${column.columns}), expected ($rows, $columns)")
    }

    private void checkRings(String part, Her2Column xy, Her2Column offsets) {
        if (xy.columns != 2)
            throw problem("${part}_xy has rows of ${xy.columns}, expected 2")
        LongBuffer starts = offsets.longs
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
            throw problem("${part}_offsets do not rise from 0 to the ${xy.rows} vertices there are")
        checkFinite("${part}_xy", xy)
    }

    private void checkFinite(String name, Her2Column column) {
        FloatBuffer values = column.floats
        int n = values.capacity()
        // The sum of absolute values is finite only if every value is: one test for all of them.
        double sum = 0
        for (int i = 0; i < n; i++)
            sum += Math.abs(values.get(i))
        if (Double.isNaN(sum) || Double.isInfinite(sum))
            throw problem("$name holds NaN or infinity")
    }

    private void checkCodes(int regions) {
        int classes = classNames.size()
        for (int i = 0; i < count; i++) {
            int code = classCode(i)
            if (code >= classes)
                throw problem("cell_class holds $code, but there are $classes classes")
            int index = regionOf(i)
            if (index < 0 || index >= regions)
                throw problem("region holds the index $index, but there are $regions regions")
        }
    }

    private void checkUuids() {
        LongBuffer ids = uuid.longs
        boolean rising = true
        for (int i = 2; i < 2 * count && rising; i += 2) {
            int high = Long.compareUnsigned(ids.get(i - 2), ids.get(i))
            rising = high < 0 || (high == 0 && Long.compareUnsigned(ids.get(i - 1), ids.get(i + 1)) < 0)
        }
        if (rising)
            return
        Set<UUID> met = new HashSet<UUID>(count * 2)
        for (int i = 0; i < count; i++)
            if (!met.add(uuid.uuid(i)))
                throw problem("the UUID of cell $i, ${uuid.uuid(i)}, occurs twice; results are attached by UUID")
    }

    /** The class of a cell by its index in `classNames`, -1 where it was not measured. */
    int classCode(int cell) {
        int code = cellClass.bytes.get(cell) & 0xFF
        return code == NOT_MEASURED ? -1 : code
    }

    /** Which region of the run's record a cell lies in. */
    int regionOf(int cell) {
        return region.ints.get(cell)
    }

    float x(int cell) {
        return centroid.floats.get(2 * cell)
    }

    float y(int cell) {
        return centroid.floats.get(2 * cell + 1)
    }

    /** The outline of a cell: x, y, x, y, … */
    float[] outline(int cell) {
        return Arrays.copyOfRange(cellXy.floats.array(), 2 * (int) cellOffsets.longs.get(cell),
            2 * (int) cellOffsets.longs.get(cell + 1))
    }
}
