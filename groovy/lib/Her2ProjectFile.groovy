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
 * The project file, replaced in one step. QuPath's own syncChanges (seen in 0.5 to 0.7) moves the old file away before
 * the new one is in its place, and empties classes.json and metadata.json before it fills them: killed in between it
 * leaves a project that does not open any more.
 */
@CompileStatic
class Her2ProjectFile {

    /** Save images and their metadata; classes and the project's own metadata are untouched by results. */
    static void save(Project<?> project) {
        Method writer = writer(project)
        if (writer == null) {
            project.syncChanges()
            return
        }
        Path file = project.getPath()
        List<Path> drafts = ["", ".tmp", ".backup"].collect { String end -> besides(file, ".her2" + end) }
        drafts.each { Path it -> Files.deleteIfExists(it) }
        try {
            writer.invoke(project, drafts[0].toFile())
            Gson gson = GsonTools.getInstance(true)
            JsonObject content = gson.fromJson(Files.readString(drafts[0]), JsonObject)
            // QuPath names the file that it writes, to tell later whether the project was moved.
            content.addProperty("uri", file.toFile().toURI().toString())
            if (Files.exists(file))
                Files.copy(file, besides(file, ".backup"), StandardCopyOption.REPLACE_EXISTING)
            Her2Status.replace(file, gson.toJson(content).getBytes(StandardCharsets.UTF_8))
        } catch (InvocationTargetException problem) {
            throw problem.cause
        } finally {
            drafts.each { Path it -> Files.deleteIfExists(it) }
        }
    }

    private static Path besides(Path file, String end) {
        return file.resolveSibling(file.getFileName().toString() + end)
    }

    /** QuPath's writer of a project file of any name; null where this QuPath has it no more. */
    private static Method writer(Project<?> project) {
        try {
            Method found = project.getClass().getDeclaredMethod("writeProject", File)
            found.setAccessible(true)
            return found
        } catch (ReflectiveOperationException | RuntimeException ignored) {
            // A later QuPath may have it changed or closed; its own way is then the only one.
            return null
        }
    }
}
