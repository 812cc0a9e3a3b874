import groovy.transform.CompileStatic
import java.nio.file.AtomicMoveNotSupportedException
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption

/**
 * What became of one image, in her2/status/<verb>/<image>.json: over a whole project QuPath's exit code is 0
 * whether the script worked or threw.
 */
@CompileStatic
class Her2Status {

    /** The state stands before the other words, a message and a name for people on a line of their own. */
    private static final List<String> SAID_ELSEWHERE = ["state", "message", "name"].asImmutable()

    /** Do a piece of work and say what became of it, done or not; `image` null is the one that the work says. */
    static Map<String, Object> of(File her2, String verb, String image, Closure<Map<String, Object>> work) {
        Map<String, Object> found
        try {
            found = work.call()
        } catch (Throwable problem) {
            failed(her2, verb, image ?: "run", problem)
            throw problem
        }
        done(her2, verb, image ?: (String) found.get("image"), found)
        return found
    }

    /** Say that it was done, with counts or words for each key. */
    static void done(File her2, String verb, String image, Map<String, Object> found) {
        Map<String, Object> content = new LinkedHashMap<String, Object>(found)
        content.put("ok", true)
        write(her2, verb, image, content)
    }

    /** Say that it was not done, and why. */
    private static void failed(File her2, String verb, String image, Throwable problem) {
        Map<String, Object> content = new LinkedHashMap<String, Object>()
        content.put("ok", false)
        content.put("message", problem.message ?: problem.toString())
        try {
            write(her2, verb, image, content)
        } catch (IOException unwritable) {
            // In a folder that cannot be written this is a consequence; the reason is what people have to read.
            problem.addSuppressed(unwritable)
        }
    }

    /** What was found, as a closing line says it: name=value, without spaces in a value. */
    static String words(Map<String, Object> found) {
        List<String> words = []
        for (Map.Entry<String, Object> item : found.entrySet())
            if (!(item.key in SAID_ELSEWHERE))
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

    /** Give a file new content in one step: a reader sees the old content or the new. */
    static void replace(Path file, byte[] content) {
        Path draft = file.resolveSibling(file.getFileName().toString() + ".tmp")
        Files.write(draft, content)
        try {
            Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING)
        } catch (AtomicMoveNotSupportedException ignored) {
            // Some network shares cannot; a status file may be cut short there, nothing else depends on it.
            Files.move(draft, file, StandardCopyOption.REPLACE_EXISTING)
        }
    }
}
