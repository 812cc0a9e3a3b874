import groovy.transform.CompileStatic
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.nio.charset.StandardCharsets
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardOpenOption
import java.text.Normalizer
import java.time.Instant
import java.time.temporal.ChronoUnit

/**
 * What one reader said about cells, a line for each key pressed: her2/review/labels/window-READER.csv, which
 * qupath_her2/review/labels.py reads. Cells that were confirmed are in it as well as corrected ones.
 */
@CompileStatic
class Her2ReviewLabels {

    private static final List<String> COLUMNS = ["image", "uuid", "reader", "value", "x", "y", "time"].asImmutable()
    private static final int SLUG_CHARS = 24
    private static final String REMEDY = "Move it away, then review again; what was said so far is in it."

    final File file
    final String reader

    Her2ReviewLabels(File her2, String reader) {
        this.reader = reader
        String ascii = Normalizer.normalize(reader, Normalizer.Form.NFKD).replaceAll(/[^\x00-\x7F]/, "")
        String slug = ascii.toLowerCase(Locale.ROOT).replaceAll(/[^0-9a-z]+/, "-").replaceAll(/^-+|-+$/, "")
        file = new File(her2, "review/labels/window-${slug.take(SLUG_CHARS) ?: 'reader'}.csv")
    }

    /** Image and UUID of each cell that the reader has answered. */
    Set<String> answered() {
        Set<String> found = new HashSet<String>()
        if (!file.isFile())
            return found
        for (Map<String, String> row : Her2Csv.read(file, REMEDY))
            if (row.get("reader") == reader && row.get("value"))
                found.add("${row.get('image')} ${row.get('uuid')}".toString())
        return found
    }

    /** Add what the reader said: `0`, `1+`, `2+`, `3+` or `x`. Returns the line, by which it is taken back. */
    String add(Her2ReviewItem item, String value) {
        String line = Her2Csv.line([item.image, item.id.toString(), reader, value, place(item.x), place(item.y),
                                    Instant.now().truncatedTo(ChronoUnit.MILLIS).toString()])
        try {
            Files.createDirectories(file.getParentFile().toPath())
            append(line)
        } catch (IOException problem) {
            throw notWritten(problem)
        }
        return line
    }

    /** Take a line back. */
    void remove(String line) {
        try {
            List<String> lines = Files.readAllLines(file.toPath(), StandardCharsets.UTF_8)
            int at = lines.lastIndexOf(line)
            if (at < 0)
                throw new Her2Refusal("The answer is not in '$file' any more, so it was not taken back there.")
            lines.remove(at)
            Her2Status.replace(file.toPath(), (lines.join("\n") + "\n").getBytes(StandardCharsets.UTF_8))
        } catch (IOException problem) {
            throw notWritten(problem)
        }
    }

    private Her2Refusal notWritten(IOException problem) {
        return new Her2Refusal("'$file' cannot be written ($problem), so the answer was not kept. Make the project's " +
            "folder writable, or copy the project.")
    }

    private void append(String line) {
        Path path = file.toPath()
        boolean isNew = !Files.exists(path) || Files.size(path) == 0
        String start = isNew ? Her2Csv.line(COLUMNS) + "\n" : endsInLine(path) ? "" : "\n"
        try (FileChannel out = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
            out.write(ByteBuffer.wrap("$start$line\n".toString().getBytes(StandardCharsets.UTF_8)))
            // A power cut after an answer must not lose it.
            out.force(false)
        }
    }

    /** Whether the last line is complete; a killed QuPath may have left half of one. */
    private static boolean endsInLine(Path path) {
        try (RandomAccessFile content = new RandomAccessFile(path.toFile(), "r")) {
            content.seek(content.length() - 1)
            return content.read() == 10
        }
    }

    private static String place(double value) {
        return String.format(Locale.ROOT, "%.2f", value)
    }
}
