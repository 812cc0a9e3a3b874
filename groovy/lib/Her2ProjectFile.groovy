import com.google.gson.Gson
import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.lang.reflect.InvocationTargetException
import java.lang.reflect.Method
import java.nio.charset.StandardCharsets
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import qupath.lib.io.GsonTools
import qupath.lib.projects.Project

/**
 * The project file, saved in one step, and the heartbeat beside it that says a window has the project open.
 *
 * QuPath's own syncChanges (seen in 0.5 to 0.7) moves the old file away before the new one is in place, and truncates
 * classes.json and metadata.json before it writes them: killed in between, it leaves a project that no longer opens.
 */
@CompileStatic
class Her2ProjectFile {

    /** Added to the name of the project file. */
    private static final String HEARTBEAT = ".her2-open"
    /** Age in seconds after which the window counts as gone, as in qupath_her2/project/qupath/open_window.py. */
    private static final int FRESH_S = 45

    /** The file that Her2Heartbeat touches while a window has the project open; null for no project. */
    static Path heartbeat(Project<?> project) {
        Path file = project?.getPath()
        return file == null ? null : beside(file, HEARTBEAT)
    }

    /** Whether a window has the project open: its heartbeat is fresh by this machine's clock. */
    static boolean isOpenInWindow(Project<?> project) {
        Path file = heartbeat(project)
        return file != null && Files.exists(file) &&
            System.currentTimeMillis() - Files.getLastModifiedTime(file).toMillis() < FRESH_S * 1000L
    }

    /** Save the images and their metadata; results never change the classes or the project's own metadata. */
    static void save(Project<?> project) {
        Method writer = writer(project)
        if (writer == null) {
            project.syncChanges()
            return
        }
        Path file = project.getPath()
        List<Path> drafts = ["", ".tmp", ".backup"].collect { String end -> beside(file, ".her2" + end) }
        drafts.each { Path it -> Files.deleteIfExists(it) }
        try {
            writer.invoke(project, drafts[0].toFile())
            Gson gson = GsonTools.getInstance(true)
            JsonObject content = gson.fromJson(Files.readString(drafts[0]), JsonObject)
            // QuPath writes the file's own address into it, by which it later notices that the project was moved.
            content.addProperty("uri", file.toFile().toURI().toString())
            if (Files.exists(file))
                Files.copy(file, beside(file, ".backup"), StandardCopyOption.REPLACE_EXISTING)
            Her2Status.replace(file, gson.toJson(content).getBytes(StandardCharsets.UTF_8))
        } catch (InvocationTargetException problem) {
            throw problem.cause
        } finally {
            drafts.each { Path it -> Files.deleteIfExists(it) }
        }
    }

    private static Path beside(Path file, String end) {
        return file.resolveSibling(file.getFileName().toString() + end)
    }

    /** QuPath's private method that writes a project to a given file; null if this QuPath no longer has it. */
    private static Method writer(Project<?> project) {
        try {
            Method found = project.getClass().getDeclaredMethod("writeProject", File)
            found.setAccessible(true)
            return found
        } catch (ReflectiveOperationException | RuntimeException ignored) {
            // A later QuPath may change or close it; syncChanges is the fallback.
            return null
        }
    }
}
