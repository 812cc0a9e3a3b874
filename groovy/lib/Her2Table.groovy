import groovy.transform.CompileStatic
import java.nio.FloatBuffer
import java.nio.LongBuffer
import java.util.zip.ZipException
import java.util.zip.ZipFile

/**
 * A table of a run, read and checked completely: rows with a UUID, a region of the run and a class. A table that does
 * not follow format 1 is refused before anything of it reaches a hierarchy.
 */
@CompileStatic
abstract class Her2Table {

    static final int NOT_MEASURED = 255

    private static final String AGAIN = "Score the image again with the option force (a setting of the script; " +
        "qupath-her2 run --force)."

    final int count
    final Her2Column uuid
    final List<String> classNames

    /** The file as named in error messages. */
    protected final String where
    private final String kind
    private final Map<String, Her2Column> columns = new LinkedHashMap<String, Her2Column>()
    private final Her2Column region
    private final Her2Column codes

    /**
     * Read `file`. `kind` is the name of a row; `types` are the columns with their types and numbers of axes; the class
     * names and the number of regions come from run.json.
     */
    protected Her2Table(File file, String kind, Map<String, String> types, List<String> classNames, int regions) {
        where = "'$file'"
        this.kind = kind
        this.classNames = classNames
        try (ZipFile archive = new ZipFile(file)) {
            for (Map.Entry<String, String> type : types.entrySet())
                columns.put(type.key, Her2Column.read(archive, where, type.key, type.value))
        } catch (ZipException problem) {
            throw new Her2Refusal("$where is damaged (${problem.message}). $AGAIN")
        }
        uuid = column("uuid")
        region = column("region")
        codes = column("${kind}_class".toString())
        count = uuid.rows
        checkShape(uuid, count, 16)
        checkShape(region, count, 1)
        checkShape(codes, count, 1)
        checkCodes(regions)
        checkUuids()
    }

    protected final Her2Column column(String name) {
        return columns.get(name)
    }

    protected final Her2Refusal problem(String what) {
        return new Her2Refusal("$where: $what. $AGAIN")
    }

    protected final void checkShape(Her2Column column, int rows, int width) {
        if (column.rows != rows || column.columns != width)
            throw problem("${column.name} has shape (${column.rows}, ${column.columns}), expected ($rows, $width)")
    }

    protected final void checkFinite(Her2Column column) {
        FloatBuffer values = column.floats
        int n = values.capacity()
        // The sum of absolute values is finite only if every value is: one test instead of one per value.
        double sum = 0
        for (int i = 0; i < n; i++)
            sum += Math.abs(values.get(i))
        if (Double.isNaN(sum) || Double.isInfinite(sum))
            throw problem("${column.name} holds NaN or infinity")
    }

    private void checkCodes(int regions) {
        int classes = classNames.size()
        for (int i = 0; i < count; i++) {
            int code = classCode(i)
            if (code >= classes)
                throw problem("${kind}_class holds $code, but there are $classes classes")
            int index = regionOf(i)
            if (index < 0 || index >= regions)
                throw problem("region holds the index $index, but there are $regions regions")
        }
    }

    private void checkUuids() {
        LongBuffer ids = uuid.longs
        // Sorted UUIDs, the usual case, need no set: comparing neighbours is far quicker.
        boolean isSorted = true
        for (int i = 2; i < 2 * count && isSorted; i += 2) {
            int high = Long.compareUnsigned(ids.get(i - 2), ids.get(i))
            isSorted = high < 0 || (high == 0 && Long.compareUnsigned(ids.get(i - 1), ids.get(i + 1)) < 0)
        }
        if (isSorted)
            return
        Set<UUID> seen = new HashSet<UUID>(count * 2)
        for (int i = 0; i < count; i++)
            if (!seen.add(uuid.uuid(i)))
                throw problem("the UUID of $kind $i, ${uuid.uuid(i)}, occurs twice, but results are matched by UUID")
    }

    /** The class of a row as an index into `classNames`; -1 for none. */
    final int classCode(int row) {
        int code = codes.bytes.get(row) & 0xFF
        return code == NOT_MEASURED ? -1 : code
    }

    /** The index of a row's region in run.json. */
    final int regionOf(int row) {
        return region.ints.get(row)
    }

    /** The point that decides whether a row lies in an outline, in level-0 pixels. */
    abstract float x(int row)

    abstract float y(int row)

    /** The outline of a row: x, y, x, y, … */
    abstract float[] outline(int row)
}
