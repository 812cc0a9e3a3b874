import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * Which images of a project are worked on, as arguments of a script: `scope=all`, `scope=unscored` or `scope=open`;
 * `image=NAME` and `entry=ID` name single ones.
 */
@CompileStatic
class Her2Scope {

    static final String OPEN = "open"
    static final String ALL = "all"
    /** Images without a score: never scored, or not assessable. */
    static final String UNSCORED = "unscored"

    private static final List<String> KINDS = [OPEN, UNSCORED, ALL].asImmutable()
    private static final List<String> NAMES = ["scope", "image", "entry"].asImmutable()

    private final String kind
    private final List<String> names = []
    private final List<String> ids = []

    /** `fallback` holds where the words name no scope and no image. */
    private Her2Scope(List<String> words, String fallback) {
        String found = null
        for (String word : words) {
            String value = word.substring(word.indexOf("=") + 1)
            if (word.startsWith("scope="))
                found = value
            else
                (word.startsWith("image=") ? names : ids).add(value)
        }
        kind = found ?: fallback
        if (!(kind in KINDS))
            throw new IllegalArgumentException("Unknown scope '$kind'. Available: ${KINDS.join(', ')}; or name " +
                "images: image=NAME")
    }

    /** The words, for the message about one that is unknown. */
    static List<String> known() {
        return NAMES.collect { String it -> it + "=…" }
    }

    static boolean isWord(String word) {
        return word.contains("=") && word.tokenize("=")[0] in NAMES
    }

    static Her2Scope of(List<String> words, String fallback) {
        return new Her2Scope(words.findAll { String it -> isWord(it) }, fallback)
    }

    /** The images, in the project's order; `open` is the entry of the open image, or null. */
    List<ProjectImageEntry<BufferedImage>> choose(
            Project<BufferedImage> project, ProjectImageEntry<BufferedImage> open) {
        List<ProjectImageEntry<BufferedImage>> all = project.getImageList()
        if (!names.isEmpty() || !ids.isEmpty())
            return named(all)
        if (kind == OPEN) {
            if (open == null)
                throw new IllegalStateException("No image of the project is open. Open one, or choose other images.")
            return [open]
        }
        List<ProjectImageEntry<BufferedImage>> found = kind == ALL ? all :
            all.findAll { ProjectImageEntry<BufferedImage> it -> !isScored(it) }
        if (found.isEmpty())
            throw new IllegalStateException(all.isEmpty() ? "The project has no images. Add some: File > Project > " +
                "Add images." : "Every image of the project has a score. Choose all images to score them again.")
        return found
    }

    private List<ProjectImageEntry<BufferedImage>> named(List<ProjectImageEntry<BufferedImage>> all) {
        for (String name : names)
            if (!all.any { ProjectImageEntry<BufferedImage> it -> it.getImageName() == name })
                throw new IllegalArgumentException("The project has no image '$name'.")
        for (String id : ids)
            if (!all.any { ProjectImageEntry<BufferedImage> it -> it.getID() == id })
                throw new IllegalArgumentException("The project has no image with the entry ID '$id'.")
        return all.findAll { ProjectImageEntry<BufferedImage> it -> it.getImageName() in names || it.getID() in ids }
    }

    /** What to do where no image is open; `so` says what cannot be done. */
    static String noImage(Project<?> project, String so) {
        if (project == null)
            return "No image of a project is open, so $so. Open a project (File > Project > Open project) and one of " +
                "its images. No project yet: File > Project > Create project, choose an empty folder, then " +
                "File > Project > Add images."
        return project.isEmpty() ? "The project has no images, so $so. Add some: File > Project > Add images." :
            "No image is open, so $so. Double-click one in the list of the Project tab."
    }

    private static boolean isScored(ProjectImageEntry<BufferedImage> entry) {
        String score = Her2Import.computedScore(entry)
        return score != null && score != "not assessable"
    }
}
