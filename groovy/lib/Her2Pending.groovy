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
 * A note beside an image's folder while its data are saved and the project's metadata are not yet. One that is found
 * later tells of a program that was killed in between: the pair is completed where the data are the new ones.
 */
@CompileStatic
class Her2Pending {

    private static final String ENDING = ".her2-pending.json"
    /** What QuPath reads: the file itself, else the former one that is kept while it is written. */
    private static final List<String> DATA = ["data.qpdata", "data.qpdata.bkp"].asImmutable()
    /** The former data under a second name, while a save can still be taken back. */
    static final String PREVIOUS = "data.qpdata.her2-previous"

    /** Note what the metadata are to be once data with this memory are saved; a null value removes a key. */
    static void write(ProjectImageEntry<?> entry, Her2Memory memory, Map<String, String> metadata) {
        Map<String, Object> note = [property: (Object) memory.runProperty(), run: memory.run, metadata: metadata]
        Her2Status.replace(file(entry), Her2Json.bytes(note))
    }

    /** Both are saved, or both are as before. */
    static void remove(ProjectImageEntry<?> entry) {
        Files.deleteIfExists(file(entry))
    }

    private static Path file(ProjectImageEntry<?> entry) {
        return entry.getEntryPath().resolveSibling(entry.getID() + ENDING)
    }

    /**
     * Complete what was left half done in a project, unless a window elsewhere has it open and would write over it.
     * Returns how many images got their metadata.
     */
    static int finish(Project<?> project) {
        if (!isAny(project) || (QuPathGUI.getInstance() == null && Her2Session.isOpen(project)))
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
            // The notes stay, and the next opening tries again; a project that cannot be written can still be read.
            LoggerFactory.getLogger("qupath-her2").warn("{} cannot be completed", project.getPath(), problem)
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

    /** Put the metadata where the data are those of the note. */
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

    /** Set a value of an image's metadata; null removes the key. */
    static void put(ProjectImageEntry<?> entry, String key, String value) {
        if (value == null)
            entry.removeMetadataValue(key)
        else
            entry.putMetadataValue(key, value)
    }
}
