import com.google.gson.JsonElement
import com.google.gson.JsonObject
import com.google.gson.JsonParseException
import com.google.gson.JsonParser
import groovy.transform.CompileStatic
import java.nio.charset.StandardCharsets
import java.util.concurrent.BlockingQueue
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import java.util.function.BooleanSupplier
import java.util.function.Consumer

/**
 * One run of qupath-her2: passes its JSON events on, can be cancelled, and reports its last lines if it fails.
 */
@CompileStatic
class Her2PythonRun {

    /** Log lines kept for error messages, and their length. */
    private static final int LAST_LINES = 12
    private static final int LINE_CHARS = 400
    private static final String END = new String("end")

    private final Process process
    private final BlockingQueue<String> lines = new LinkedBlockingQueue<String>()
    private final Deque<String> log = new ArrayDeque<String>()
    private final Deque<String> errors = new ArrayDeque<String>()
    private final Thread errorReader
    private final int kept
    /** Exit codes that count as a result: 0 done, 3 some images failed. */
    List<Integer> results = [0, 3]

    Her2PythonRun(Her2Python python, List<String> arguments, File folder, int kept = LAST_LINES) {
        this.kept = kept
        process = python.start(arguments, folder)
        errorReader = Thread.startDaemon("HER2 errors") {
            read(process.getErrorStream()) { String line -> keep(line, errors) }
        }
        Thread.startDaemon("HER2 lines") {
            read(process.getInputStream()) { String line -> lines.put(line) }
            lines.put(END)
        }
    }

    /**
     * Wait for the end and pass each event on. If cancelled or interrupted, end the whole process tree; after a cancel,
     * events that came before it are still passed on, so that what was finished is kept.
     * Returns the exit code; throws Her2Refusal with Python's message if it is not one of `results`.
     */
    int await(BooleanSupplier cancelled, Consumer<JsonObject> listener) {
        Thread end = new Thread({ Her2Python.endTree(process) })
        Runtime.getRuntime().addShutdownHook(end)
        try {
            listen(cancelled, listener)
            int code = process.waitFor()
            errorReader.join(2000)
            if (!(code in results))
                throw new Her2Refusal(problem(code))
            return code
        } catch (InterruptedException ignored) {
            Her2Python.endTree(process)
            throw new Her2Cancelled()
        } finally {
            if (process.isAlive())
                Her2Python.endTree(process)
            removeHook(end)
        }
    }

    private void listen(BooleanSupplier cancelled, Consumer<JsonObject> listener) {
        boolean isEnded = false
        while (true) {
            String line = lines.poll(200, TimeUnit.MILLISECONDS)
            if (!isEnded && cancelled.getAsBoolean()) {
                Her2Python.endTree(process)
                isEnded = true
            }
            if (isEnded && (line == null || line.is(END)))
                throw new Her2Cancelled()
            if (line.is(END))
                return
            if (line == null)
                continue
            JsonObject event = event(line)
            if (event == null)
                keep(line, log)
            else
                listener.accept(event)
        }
    }

    private static void removeHook(Thread end) {
        try {
            Runtime.getRuntime().removeShutdownHook(end)
        } catch (IllegalStateException ignored) {
            // QuPath is shutting down, and the hook ends the process.
            return
        }
    }

    private static JsonObject event(String line) {
        try {
            JsonElement found = line.startsWith("{") ? JsonParser.parseString(line) : null
            return found != null && found.isJsonObject() ? found.getAsJsonObject() : null
        } catch (JsonParseException ignored) {
            // A line that only looks like JSON belongs to the log.
            return null
        }
    }

    private static void read(InputStream stream, Consumer<String> listener) {
        try (BufferedReader reader = new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8))) {
            String line
            while ((line = reader.readLine()) != null)
                listener.accept(line)
        } catch (IOException ignored) {
            // The process was ended and its stream closed.
            return
        }
    }

    private void keep(String line, Deque<String> into) {
        if (line.isBlank())
            return
        synchronized (into) {
            into.addLast(line.length() > LINE_CHARS ? line.substring(0, LINE_CHARS) + "…" : line)
            while (into.size() > kept)
                into.removeFirst()
        }
    }

    /** The last lines that Python wrote: standard output, then standard error. */
    List<String> lastLines() {
        return listed(log) + listed(errors)
    }

    private static List<String> listed(Deque<String> lines) {
        synchronized (lines) {
            return new ArrayList<String>(lines)
        }
    }

    /** The error message: qupath-her2's own if it printed one, with the last lines of its log unless it came first. */
    private String problem(int code) {
        List<String> last = listed(errors)
        int first = last.findLastIndexOf { String it -> it.startsWith("Error: ") }
        String message = first < 0 ? null : last.subList(first, last.size()).join("\n").substring("Error: ".length())
        if (first == 0)
            return message
        String how = code > 128 || code < 0 ? " (killed from outside)" : ""
        String text = message ?: "qupath-her2 ended with exit code $code$how."
        List<String> lines = lastLines()
        return lines.isEmpty() ? text : "$text\n\nLast lines of its output:\n${lines.join('\n')}"
    }
}
