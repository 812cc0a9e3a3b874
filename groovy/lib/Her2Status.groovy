import groovy.transform.CompileStatic
import java.nio.file.AtomicMoveNotSupportedException
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption

/**
 * The outcome for one image, in her2/status/<verb>/<image>.json, because QuPath's exit code over a whole project is 0
 * whether the script worked or threw.
 */
@CompileStatic
class Her2Status {

    /** Left out of the closing words: the script prints the state before them and the message on a separate line. */
    private static final List<String> PRINTED_SEPARATELY = ["state", "message", "name", "what"].asImmutable()

    /** Run `work` and write its outcome, success or failure. If `image` is null, `work` returns it. */
    static Map<String, Object> record(File her2, String verb, String image, Closure<Map<String, Object>> work) {
        Map<String, Object> found
        try {
            found = work.call()
        } catch (Throwable problem) {
            writeFailed(her2, verb, image ?: "run", problem)
            throw problem
        }
        writeDone(her2, verb, image ?: (String) found.get("image"), found)
        return found
    }

    /** Write that it succeeded, with the values found. */
    static void writeDone(File her2, String verb, String image, Map<String, Object> found) {
        Map<String, Object> content = new LinkedHashMap<String, Object>(found)
        content.put("ok", true)
        write(her2, verb, image, content)
    }

    /** Write that it failed, and why. */
    private static void writeFailed(File her2, String verb, String image, Throwable problem) {
        Map<String, Object> content = new LinkedHashMap<String, Object>()
        content.put("ok", false)
        content.put("message", problem.message ?: problem.toString())
        try {
            write(her2, verb, image, content)
        } catch (IOException unwritable) {
            // A folder that is not writable is why `problem` was thrown; the user has to read that, not this.
            problem.addSuppressed(unwritable)
        }
    }

    /** The values as in a closing line: name=value, with underscores for spaces. */
    static String closingWords(Map<String, Object> found) {
        List<String> words = []
        for (Map.Entry<String, Object> item : found.entrySet())
            if (!(item.key in PRINTED_SEPARATELY))
                words.add(item.key + "=" + String.valueOf(item.value).replace(" ", "_"))
        return words.join(" ")
    }

    private static void write(File her2, String verb, String image, Map<String, Object> content) {
        content.put("verb", verb)
        content.put("image", image)
        Path file = her2.toPath().resolve("status").resolve(verb).resolve("${image}.json".toString())
        Files.createDirectories(file.getParent())
        replace(file, Her2Json.bytes(content))
    }

    /** Replace a file in one step, so that a reader sees either the old content or the new. */
    static void replace(Path file, byte[] content) {
        Path draft = file.resolveSibling(file.getFileName().toString() + ".tmp")
        Files.write(draft, content)
        try {
            Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING)
        } catch (AtomicMoveNotSupportedException ignored) {
            // Some network shares cannot move atomically; there, a reader may briefly see no file or a truncated one.
            Files.move(draft, file, StandardCopyOption.REPLACE_EXISTING)
        }
    }
}
