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
 * One run of qupath-her2: its JSON lines as they come, Cancel, and its last words where it fails.
 */
@CompileStatic
class Her2PythonRun {

    /** Lines of the log that are kept for the message of an error. */
    private static final int LAST = 12
    private static final int LINE = 400
    private static final String END = new String("end")

    private final Process process
    private final BlockingQueue<String> lines = new LinkedBlockingQueue<String>()
    private final Deque<String> log = new ArrayDeque<String>()
    private final Deque<String> errors = new ArrayDeque<String>()
    private final Thread errorReader
    private final int kept
    /** Exit codes that stand for a result: done, and some images failed. */
    List<Integer> results = [0, 3]

    Her2PythonRun(Her2Python python, List<String> words, File folder, int kept = LAST) {
        this.kept = kept
        process = python.start(words, folder)
        errorReader = Thread.startDaemon("HER2 errors") {
            read(process.getErrorStream()) { String line -> keep(line, errors) }
        }
        Thread.startDaemon("HER2 lines") {
            read(process.getInputStream()) { String line -> lines.put(line) }
            lines.put(END)
        }
    }

    /**
     * Wait for the end and hand on each event. Cancelled or interrupted, the whole tree of processes is ended.
     * Returns the exit code; Her2Refusal with Python's words where it is not one of `results`.
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
            forget(end)
        }
    }

    private void listen(BooleanSupplier cancelled, Consumer<JsonObject> listener) {
        while (true) {
            String line = lines.poll(200, TimeUnit.MILLISECONDS)
            if (cancelled.getAsBoolean()) {
                Her2Python.endTree(process)
                throw new Her2Cancelled()
            }
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

    private static void forget(Thread end) {
        try {
            Runtime.getRuntime().removeShutdownHook(end)
        } catch (IllegalStateException ignored) {
            // QuPath is being closed, and the hook does its work.
            return
        }
    }

    private static JsonObject event(String line) {
        try {
            JsonElement found = line.startsWith("{") ? JsonParser.parseString(line) : null
            return found != null && found.isJsonObject() ? found.getAsJsonObject() : null
        } catch (JsonParseException ignored) {
            // A line that only looks like one is part of the log.
            return null
        }
    }

    private static void read(InputStream stream, Consumer<String> take) {
        try (BufferedReader reader = new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8))) {
            String line
            while ((line = reader.readLine()) != null)
                take.accept(line)
        } catch (IOException ignored) {
            // The process was ended.
            return
        }
    }

    private void keep(String line, Deque<String> into) {
        if (line.isBlank())
            return
        synchronized (into) {
            into.addLast(line.length() > LINE ? line.substring(0, LINE) + "…" : line)
            while (into.size() > kept)
                into.removeFirst()
        }
    }

    /** The last lines that Python wrote: what it printed, then its errors. */
    List<String> lastLines() {
        return listed(log) + listed(errors)
    }

    private static List<String> listed(Deque<String> lines) {
        synchronized (lines) {
            return new ArrayList<String>(lines)
        }
    }

    /** What went wrong: qupath-her2's own sentence where it has one, and the last lines of its log. */
    private String problem(int code) {
        List<String> last = listed(errors)
        int first = last.findLastIndexOf { String it -> it.startsWith("Error: ") }
        String said = first < 0 ? null : last.subList(first, last.size()).join("\n").substring("Error: ".length())
        if (first == 0)
            return said
        String how = code > 128 || code < 0 ? " (it was ended from outside)" : ""
        String words = said ?: "qupath-her2 ended with code $code$how."
        List<String> lines = lastLines()
        return lines.isEmpty() ? words : "$words\n\nThe last lines of Python:\n${lines.join('\n')}"
    }
}
