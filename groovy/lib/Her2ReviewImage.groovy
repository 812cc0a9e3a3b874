import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.images.ImageData
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * The image that the review window works on: the one open in QuPath's active viewer, with its place in the project and
 * its current result.
 */
@CompileStatic
class Her2ReviewImage {

    private static final String SCORE = "Score it first (Extensions > HER2 > Score open image)."

    final QuPathGUI window
    final QuPathViewer viewer
    final Project<BufferedImage> project
    final ProjectImageEntry<BufferedImage> entry
    final ImageData<BufferedImage> image
    final File her2
    /** Folder name in the exchange folder. */
    final String id
    /** Folder of the current run. */
    final File run

    private Her2ReviewImage(QuPathGUI window, Project<BufferedImage> project, ImageData<BufferedImage> image) {
        this.window = window
        this.project = project
        this.image = image
        viewer = window.getAllViewers().find { QuPathViewer it -> it.getImageData().is(image) }
        entry = project.getEntry(image)
        her2 = Her2Arguments.exchangeFolder(project, null).getAbsoluteFile()
        if (entry == null)
            throw new Her2Refusal("The open image is not part of the project. Open one of its images.")
        boolean isKnown = new File(her2, "images.json").isFile()
        id = isKnown ? Her2Exchange.idsByEntry(her2).get(entry.getID()) : null
        run = id == null ? null : Her2Exchange.currentRun(her2, id)
        if (run == null)
            throw new Her2Refusal("Image '${entry.getImageName()}' has no HER2 result yet. $SCORE")
    }

    /** The open image; throws Her2Refusal if there is nothing to review in it. */
    static Her2ReviewImage of(QuPathGUI window) {
        Project<BufferedImage> project = window.getProject()
        ImageData<BufferedImage> image = window.getImageData()
        if (project == null || image == null)
            throw new Her2Refusal("No image of a project is open, so there is nothing to review. Open one that was " +
                "scored.")
        return new Her2ReviewImage(window, project, image)
    }

    /** The entry of another image by its folder name in the exchange folder; null if it is gone. */
    ProjectImageEntry<BufferedImage> entryOf(String otherId) {
        String other = Her2Exchange.idsByEntry(her2).find { String entryId, String name -> name == otherId }?.key
        return project.getImageList().find { ProjectImageEntry<BufferedImage> it -> it.getID() == other }
    }
}
