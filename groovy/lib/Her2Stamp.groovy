import groovy.transform.CompileStatic
import java.nio.file.Files
import java.nio.file.Path
import qupath.lib.projects.ProjectImageEntry

/**
 * The state of an image's data file at the time it was read: saving over a newer one would lose another's work.
 */
@CompileStatic
class Her2Stamp {

    private final Path data
    private final String name
    private final String before

    Her2Stamp(ProjectImageEntry<?> entry) {
        data = entry.getEntryPath().resolve("data.qpdata")
        name = entry.getImageName()
        before = now()
    }

    private String now() {
        return Files.exists(data) ? "${Files.size(data)} ${Files.getLastModifiedTime(data)}" : ""
    }

    void check() {
        if (now() != before)
            throw new Her2Refusal("The data of image '$name' was saved by another program while this ran ('$data'). " +
                "Nothing was changed. Close the image there, then run this again.")
    }
}
