import com.google.gson.JsonElement
import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.nio.file.DirectoryStream
import java.nio.file.Files
import java.nio.file.Path
import org.slf4j.LoggerFactory
import qupath.lib.gui.QuPathGUI
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * A note next to an image's data folder, written before its data are saved and removed after the project's metadata
 * are. A note found later means that a program was killed in between: if the data are the new ones, the metadata are
 * completed.
 */
@CompileStatic
class Her2PendingSave {

    private static final String ENDING = ".her2-pending.json"
    /** The files that QuPath reads: the data file, else the backup that it keeps while saving. */
    private static final List<String> DATA = ["data.qpdata", "data.qpdata.bkp"].asImmutable()
    /** The previous data file, kept as long as a save can still be undone. */
    static final String PREVIOUS = "data.qpdata.her2-previous"

    /** Note the metadata that belong to the data about to be saved; a null value removes a key. */
    static void write(ProjectImageEntry<?> entry, Her2ImageProperties properties, Map<String, String> metadata) {
        Map<String, Object> note =
            [property: (Object) properties.runProperty(), run: properties.run, metadata: metadata]
        Her2Status.replace(file(entry), Her2Json.bytes(note))
    }

    /** Remove the note: both are saved, or both are as before. */
    static void remove(ProjectImageEntry<?> entry) {
        Files.deleteIfExists(file(entry))
    }

    private static Path file(ProjectImageEntry<?> entry) {
        return entry.getEntryPath().resolveSibling(entry.getID() + ENDING)
    }

    /**
     * Complete interrupted saves of a project, unless a window elsewhere has it open and would overwrite it.
     * Returns how many images got their metadata.
     */
    static int finish(Project<?> project) {
        if (!isAny(project) || (QuPathGUI.getInstance() == null && Her2ProjectFile.isOpenInWindow(project)))
            return 0
        List<ProjectImageEntry<?>> noted = []
        int done = 0
        try {
            for (ProjectImageEntry<?> entry : project.getImageList()) {
                if (!Files.exists(file(entry)))
                    continue
                noted.add(entry)
                if (complete(entry))
                    done++
            }
            if (done > 0)
                Her2ProjectFile.save(project)
            for (ProjectImageEntry<?> entry : noted) {
                Files.deleteIfExists(entry.getEntryPath().resolve(PREVIOUS))
                remove(entry)
            }
        } catch (IOException problem) {
            // The notes stay, and the next run tries again; a project that cannot be written can still be read.
            LoggerFactory.getLogger("qupath-her2")
                .warn("Interrupted saves of {} could not be completed", project.getPath(), problem)
        }
        return done
    }

    private static boolean isAny(Project<?> project) {
        for (ProjectImageEntry<?> entry : project.getImageList()) {
            Path folder = entry.getEntryPath().getParent()
            if (!Files.isDirectory(folder))
                return false
            try (DirectoryStream<Path> found = Files.newDirectoryStream(folder, "*" + ENDING)) {
                return found.iterator().hasNext()
            }
        }
        return false
    }

    /** Set the metadata if the saved data are those of the note. */
    private static boolean complete(ProjectImageEntry<?> entry) {
        JsonObject note = Her2Json.read(file(entry).toFile(), "Delete it.")
        Her2DataFile data = null
        for (String name : DATA)
            data = data ?: Her2DataFile.read(entry.getEntryPath().resolve(name))
        if (data == null || (String) data.properties.get(Her2Json.text(note, "property")) != Her2Json.text(note, "run"))
            return false
        for (Map.Entry<String, JsonElement> item : Her2Json.object(note, "metadata").entrySet())
            put(entry, item.key, item.value.isJsonNull() ? null : item.value.getAsString())
        return true
    }

    /** Set a metadata value of an image; null removes the key. */
    static void put(ProjectImageEntry<?> entry, String key, String value) {
        if (value == null)
            entry.removeMetadataValue(key)
        else
            entry.putMetadataValue(key, value)
    }
}
