import groovy.transform.CompileStatic
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import qupath.lib.images.ImageData
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * Saves an image's data and then its entry's metadata: both are saved, or both stay as they were. QuPath itself keeps
 * the data file it is replacing as data.qpdata.bkp until the new one is complete.
 */
@CompileStatic
class Her2Saving {

    private static final String BACKUP = "data.before-her2.qpdata"

    private final Project<?> project
    private final ProjectImageEntry<?> entry
    final ImageData<?> image
    /** Size and time of the data file before the image was read: saving over a newer file would lose that work. */
    private final String stamp
    private final Path data
    private final Path interrupted
    private final Path summary

    /** `open` is the image as it is in memory; null to read it from the project. */
    Her2Saving(Project<?> project, ProjectImageEntry<?> entry, ImageData<?> open) {
        this.project = project
        this.entry = entry
        data = entry.getEntryPath().resolve("data.qpdata")
        interrupted = entry.getEntryPath().resolve("data.qpdata.bkp")
        summary = entry.getEntryPath().resolve("summary.json")
        stamp = stampNow()
        image = open ?: entry.readImageData()
    }

    private String stampNow() {
        return Files.exists(data) ? "${Files.size(data)} ${Files.getLastModifiedTime(data)}" : ""
    }

    /** Refuse an image whose data QuPath could not read: saving it would lose the file's content. */
    void checkReadable() {
        boolean isSuspect = image.getHierarchy().isEmpty() || Files.exists(interrupted)
        if (!isSuspect || isReadable(data) || isReadable(interrupted))
            return
        if (Files.exists(data) || Files.exists(interrupted))
            throw new Her2Refusal("The data of image '${entry.getImageName()}' cannot be read ('$data'), so QuPath " +
                "shows no objects. Nothing was written. Restore that file from a backup, then run this again.")
    }

    /** Refuse a read-only project before anything is changed. */
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

    /** Keep a copy of the data file as it was before our first results. */
    void keepBackup() {
        if (!Files.exists(data) || Her2ImageProperties.isOfAny(image))
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
     * @param properties the image's properties now
     * @param metadata values by key; null removes a key
     * @param undo collects the steps that restore the files and the metadata
     */
    void save(Her2ImageProperties properties, Map<String, String> metadata, Her2Undo undo) {
        if (stampNow() != stamp)
            throw new Her2Refusal("The data of image '${entry.getImageName()}' was saved by another program in the " +
                "meantime ('$data'). Nothing was changed. Close the image there, then run this again.")
        try {
            saveBoth(properties, metadata, undo)
        } catch (IOException problem) {
            throw notSaved(problem)
        }
    }

    private void saveBoth(Her2ImageProperties properties, Map<String, String> metadata, Her2Undo undo) {
        // The note is written before the data and removed after the metadata, so a kill in between can be completed.
        repairInterrupted()
        byte[] summaryBefore = Files.exists(summary) ? Files.readAllBytes(summary) : null
        undo.add { Her2PendingSave.remove(entry) }
        Her2PendingSave.write(entry, properties, metadata)
        Path previous = keepPrevious()
        undo.add { restoreFiles(previous, summaryBefore) }
        ((ProjectImageEntry) entry).saveImageData((ImageData) image)
        if (putMetadata(metadata, undo))
            syncProject()
        if (previous != null)
            Files.deleteIfExists(previous)
        Her2PendingSave.remove(entry)
    }

    /** A killed save leaves a truncated file and its complete backup, which QuPath's next save would overwrite. */
    private void repairInterrupted() {
        if (Files.exists(interrupted) && !isReadable(data))
            Files.move(interrupted, data, StandardCopyOption.REPLACE_EXISTING)
    }

    private Path keepPrevious() {
        if (!Files.exists(data))
            return null
        Path previous = entry.getEntryPath().resolve(Her2PendingSave.PREVIOUS)
        Files.deleteIfExists(previous)
        try {
            // QuPath writes a new file each time, so a hard link is a copy of the old one that costs nothing.
            return Files.createLink(previous, data)
        } catch (UnsupportedOperationException | IOException ignored) {
            return Files.copy(data, previous)
        }
    }

    private void restoreFiles(Path previous, byte[] summaryBefore) {
        if (previous == null)
            Files.deleteIfExists(data)
        else if (Files.exists(previous))
            Files.move(previous, data, StandardCopyOption.REPLACE_EXISTING)
        // Left behind by a failed save, it would later look like an interrupted one.
        if (Files.isRegularFile(interrupted))
            Files.delete(interrupted)
        if (summaryBefore == null)
            Files.deleteIfExists(summary)
        else
            Files.write(summary, summaryBefore)
    }

    /** The exception for a file that could not be written: Cancel if it failed because the thread was interrupted. */
    private RuntimeException notSaved(IOException problem) {
        if (Thread.currentThread().isInterrupted())
            return new Her2Cancelled()
        return new Her2Refusal("The data of image '${entry.getImageName()}' could not be saved ($problem). " +
            "Nothing was changed. Check that the disk is not full and that '${entry.getEntryPath()}' is " +
            "writable, then run this again.")
    }

    /** Set the metadata; returns whether any value changed. */
    private boolean putMetadata(Map<String, String> metadata, Her2Undo undo) {
        boolean changed = false
        for (Map.Entry<String, String> item : metadata.entrySet()) {
            String key = item.key
            String before = entry.getMetadataMap().get(key)
            if (before == item.value)
                continue
            changed = true
            undo.add { Her2PendingSave.put(entry, key, before) }
            Her2PendingSave.put(entry, key, item.value)
        }
        return changed
    }

    private void syncProject() {
        try {
            Her2ProjectFile.save(project)
        } catch (IOException problem) {
            throw new Her2Refusal("The project file '${project.getPath()}' could not be saved ($problem). Nothing " +
                "was changed. Close other programs that have the project open and check that its folder is " +
                "writable, then run this again.")
        }
    }
}
