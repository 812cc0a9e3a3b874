import groovy.transform.CompileStatic
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.nio.IntBuffer
import java.nio.LongBuffer
import java.nio.charset.StandardCharsets
import java.util.regex.Matcher
import java.util.regex.Pattern
import java.util.zip.ZipEntry
import java.util.zip.ZipFile

/**
 * One column of a run's table: an NPY 1.0 array in C order, little-endian, with its shape.
 */
@CompileStatic
class Her2Column {

    private static final Pattern HEADER = Pattern.compile(
        "\\{'descr': '([^']+)', 'fortran_order': (True|False), 'shape': \\(([0-9, ]*)\\),? *\\} *\\n?")
    private static final Map<String, Integer> ITEM_BYTES = ["|u1": 1, "<f4": 4, "<i4": 4, "<i8": 8]

    final String name
    /** Number of rows, and of values per row (1 if the array has one axis). */
    final int rows
    final int columns
    /**
     * The values, in the buffer of the column's type; the others are null. A UUID is two big-endian longs.
     * Buffers, because Groovy compiles array access to a dynamic call, which is slow until Java has compiled it.
     */
    final ByteBuffer bytes
    final FloatBuffer floats
    final IntBuffer ints
    final LongBuffer longs

    /** Parse an array; `type` and `axes` are what format 1 specifies for this column. */
    Her2Column(String where, String name, byte[] content, String type, int axes) {
        this.name = name
        int start = dataStart(content)
        Matcher header = HEADER.matcher(start < 0 ? "" :
            new String(content, 10, start - 10, StandardCharsets.ISO_8859_1))
        if (!header.matches())
            throw damaged(where, name, "has no valid NPY 1.0 header")
        int[] shape = shapeOf(header.group(3))
        boolean isFortranOrder = header.group(2) == "True" && shape.length > 1
        if (header.group(1) != type || shape.length != axes || isFortranOrder)
            throw damaged(where, name, "is ${header.group(1)} with ${shape.length} axes; " +
                "format 1 requires $type with $axes, in C order")
        rows = shape[0]
        columns = axes == 1 ? 1 : shape[1]
        long wanted = (long) rows * columns * ITEM_BYTES[type]
        if (content.length - start != wanted)
            throw damaged(where, name, "holds ${content.length - start} bytes, which do not fit its shape " +
                "(${header.group(3)})")
        ByteBuffer values = ByteBuffer.wrap(content, start, content.length - start).slice()
            .order(name == "uuid" ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN)
        // Copies in the machine's byte order: reading values out of the file's bytes is several times slower.
        floats = type == "<f4" ? FloatBuffer.allocate(rows * columns).put(values.asFloatBuffer()) : null
        ints = type == "<i4" ? IntBuffer.allocate(rows * columns).put(values.asIntBuffer()) : null
        longs = type == "<i8" || name == "uuid" ?
            LongBuffer.allocate((int) values.remaining().intdiv(8)).put(values.asLongBuffer()) : null
        bytes = type == "|u1" && name != "uuid" ? values : null
    }

    /** Read a column of an archive; `type` is its type and number of axes, e.g. "<f4 2". */
    static Her2Column read(ZipFile archive, String where, String name, String type) {
        ZipEntry entry = archive.getEntry("${name}.npy".toString())
        if (entry == null)
            throw damaged(where, name, "is missing")
        if (entry.getMethod() != ZipEntry.STORED)
            throw damaged(where, name, "is compressed; format 1 stores columns uncompressed")
        if (entry.getSize() > Integer.MAX_VALUE - 64)
            throw new Her2Refusal("$where: column '$name' holds ${entry.getSize()} bytes; QuPath's Java reads at " +
                "most 2 GB at once. Score fewer regions at a time.")
        byte[] content = new byte[(int) entry.getSize()]
        InputStream stream = archive.getInputStream(entry)
        if (stream.readNBytes(content, 0, content.length) != content.length)
            throw damaged(where, name, "is truncated")
        String[] words = type.split(" ")
        return new Her2Column(where, name, content, words[0], Integer.parseInt(words[1]))
    }

    private static Her2Refusal damaged(String where, String name, String what) {
        return new Her2Refusal("$where: column '$name' $what. Score the image again with the option force " +
            "(a setting of the script; qupath-her2 run --force).")
    }

    /** Offset of the values; -1 if this is not an NPY 1.0 array. */
    private static int dataStart(byte[] content) {
        if (content.length < 10 || content[0] != (byte) 0x93 || content[6] != (byte) 1 || content[7] != (byte) 0 ||
            new String(content, 1, 5, StandardCharsets.ISO_8859_1) != "NUMPY")
            return -1
        int start = 10 + (content[8] & 0xFF) + ((content[9] & 0xFF) << 8)
        return start <= content.length ? start : -1
    }

    private static int[] shapeOf(String text) {
        List<Integer> sizes = []
        for (String word : text.split(",")) {
            String size = word.trim()
            // A size of more digits than an int cannot belong to a file that fits into one array.
            if (!size.isEmpty())
                sizes.add(size.length() > 9 ? -1 : Integer.parseInt(size))
        }
        int[] shape = new int[sizes.size()]
        for (int i = 0; i < shape.length; i++)
            shape[i] = sizes[i]
        return shape
    }

    UUID uuid(int row) {
        return new UUID(longs.get(2 * row), longs.get(2 * row + 1))
    }
}
