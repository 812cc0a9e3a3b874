import groovy.transform.CompileStatic
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import qupath.lib.images.ImageData
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * An image's data and then its entry's metadata on disk: both, or both as they were. QuPath itself keeps the file
 * it is replacing as data.qpdata.bkp until the new one is whole.
 */
@CompileStatic
class Her2Saving {

    private static final String BACKUP = "data.before-her2.qpdata"

    private final Project<?> project
    private final ProjectImageEntry<?> entry
    private final ImageData<?> image
    private final Her2Stamp stamp
    private final Path data
    private final Path interrupted
    private final Path summary

    /** `stamp` was taken before the image was read. */
    Her2Saving(Project<?> project, ProjectImageEntry<?> entry, ImageData<?> image, Her2Stamp stamp) {
        this.stamp = stamp
        this.project = project
        this.entry = entry
        this.image = image
        data = entry.getEntryPath().resolve("data.qpdata")
        interrupted = entry.getEntryPath().resolve("data.qpdata.bkp")
        summary = entry.getEntryPath().resolve("summary.json")
    }

    /** Refuse an image whose data QuPath could not read: saving it would lose what is in the file. */
    void checkReadable() {
        boolean doubtful = image.getHierarchy().isEmpty() || Files.exists(interrupted)
        if (!doubtful || isReadable(data) || isReadable(interrupted))
            return
        if (Files.exists(data) || Files.exists(interrupted))
            throw new Her2Refusal("The data of image '${entry.getImageName()}' cannot be read ('$data'); QuPath " +
                "shows it as empty. Nothing was written. Put back a copy of that file, then run this again.")
    }

    /** Refuse a project that cannot be written, before anything is changed. */
    void checkWritable() {
        Path folder = Files.exists(entry.getEntryPath()) ? entry.getEntryPath() : entry.getEntryPath().getParent()
        Path file = project.getPath()
        for (Path path : [folder, file, file.getParent()])
            if (Files.exists(path) && !Files.isWritable(path))
                throw new Her2Refusal("'$path' cannot be written. Nothing was changed. Make the project's folder " +
                    "writable, or copy the project, then run this again.")
    }

    private static boolean isReadable(Path file) {
        return Her2DataFile.read(file) != null
    }

    /** Keep the data as they were before our first results, beside them. */
    void keepBackup() {
        if (!Files.exists(data) || Her2Memory.isOfAny(image))
            return
        Path backup = entry.getEntryPath().resolve(BACKUP)
        Path draft = entry.getEntryPath().resolve(BACKUP + ".tmp")
        try {
            Files.copy(data, draft, StandardCopyOption.REPLACE_EXISTING)
            Files.move(draft, backup, StandardCopyOption.REPLACE_EXISTING)
        } catch (IOException problem) {
            Files.deleteIfExists(draft)
            throw notSaved(problem)
        }
    }

    /**
     * Save the data, then the metadata.
     *
     * @param memory what the image remembers now
     * @param metadata values by key; null removes a key
     * @param undo filled with what brings the files and the metadata back
     */
    void save(Her2Memory memory, Map<String, String> metadata, Her2Undo undo) {
        stamp.check()
        try {
            saveBoth(memory, metadata, undo)
        } catch (IOException problem) {
            throw notSaved(problem)
        }
    }

    private void saveBoth(Her2Memory memory, Map<String, String> metadata, Her2Undo undo) {
        mendInterrupted()
        byte[] summaryBefore = Files.exists(summary) ? Files.readAllBytes(summary) : null
        undo.remember { Her2Pending.remove(entry) }
        Her2Pending.write(entry, memory, metadata)
        Path previous = keepPrevious()
        undo.remember { bringBack(previous, summaryBefore) }
        ((ProjectImageEntry) entry).saveImageData((ImageData) image)
        if (putMetadata(metadata, undo))
            syncProject()
        if (previous != null)
            Files.deleteIfExists(previous)
        Her2Pending.remove(entry)
    }

    /** A save that was killed leaves half a file, and the whole one beside it; QuPath would overwrite the latter. */
    private void mendInterrupted() {
        if (Files.exists(interrupted) && !isReadable(data))
            Files.move(interrupted, data, StandardCopyOption.REPLACE_EXISTING)
    }

    private Path keepPrevious() {
        if (!Files.exists(data))
            return null
        Path previous = entry.getEntryPath().resolve(Her2Pending.PREVIOUS)
        Files.deleteIfExists(previous)
        try {
            // QuPath writes a new file each time, so a second name for the old one is a copy that costs nothing.
            return Files.createLink(previous, data)
        } catch (UnsupportedOperationException | IOException ignored) {
            return Files.copy(data, previous)
        }
    }

    private void bringBack(Path previous, byte[] summaryBefore) {
        if (previous == null)
            Files.deleteIfExists(data)
        else if (Files.exists(previous))
            Files.move(previous, data, StandardCopyOption.REPLACE_EXISTING)
        if (Files.isRegularFile(interrupted))
            Files.delete(interrupted)
        if (summaryBefore == null)
            Files.deleteIfExists(summary)
        else
            Files.write(summary, summaryBefore)
    }

    /** What to throw at a file that could not be written: an interrupted thread cannot write any. */
    private RuntimeException notSaved(IOException problem) {
        if (Thread.currentThread().isInterrupted())
            return new Her2Cancelled()
        return new Her2Refusal("The data of image '${entry.getImageName()}' could not be saved ($problem). " +
            "Nothing was changed. Check that the disk is not full and that '${entry.getEntryPath()}' can be " +
            "written, then run this again.")
    }

    /** Whether anything had to be changed. */
    private boolean putMetadata(Map<String, String> metadata, Her2Undo undo) {
        boolean changed = false
        for (Map.Entry<String, String> item : metadata.entrySet()) {
            String key = item.key
            String before = entry.getMetadataMap().get(key)
            if (before == item.value)
                continue
            changed = true
            undo.remember { Her2Pending.put(entry, key, before) }
            Her2Pending.put(entry, key, item.value)
        }
        return changed
    }

    private void syncProject() {
        try {
            Her2ProjectFile.save(project)
        } catch (IOException problem) {
            throw new Her2Refusal("The project file '${project.getPath()}' could not be saved ($problem). Nothing " +
                "was changed. Close other programs that have the project open and check that its folder can be " +
                "written to, then run this again.")
        }
    }
}
