import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import javafx.application.Platform
import javafx.scene.control.Label
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.images.ImageData
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * QuPath's window, where there is one: which images are open in it, what a person is asked and told there.
 */
@CompileStatic
class Her2Window {

    /** Whether an image is open in the window; those that *Run for project* opens for a script are not. */
    static boolean shows(ImageData<?> image) {
        return image != null && shown().any { ImageData<BufferedImage> it -> it.is(image) }
    }

    private static List<ImageData<BufferedImage>> shown() {
        QuPathGUI window = QuPathGUI.getInstance()
        if (window == null)
            return []
        return window.getAllViewers().collect { QuPathViewer it -> it.getImageData() }
            .findAll { ImageData<BufferedImage> it -> it != null }
    }

    /** Images of a project by entry id: those open in the window now, and the one a script runs for (may be null). */
    static Map<String, ImageData<?>> open(Project<BufferedImage> project, ImageData<BufferedImage> own) {
        Map<String, ImageData<?>> found = new LinkedHashMap<String, ImageData<?>>()
        // Last, so that it wins: *Run for project* saves its own copy, not the one in the window.
        for (ImageData<BufferedImage> image : shown() + [own]) {
            ProjectImageEntry<BufferedImage> entry = image == null ? null : project.getEntry(image)
            if (entry != null)
                found.put(entry.getID(), image)
        }
        return found
    }

    /** Saving results saves what a person changed before as well: they are asked; Her2Cancelled where they say no. */
    static void askAboutChanges(Collection<? extends ImageData<?>> images, String what) {
        Project<BufferedImage> project = QuPathGUI.getInstance()?.getProject()
        int changed = images.count { ImageData<?> it ->
            shows(it) && Her2Unsaved.isIn(it, project?.getEntry((ImageData<BufferedImage>) it))
        }.intValue()
        if (changed == 0)
            return
        String these = changed == 1 ? "This image has changes that are not saved yet. They are" :
            "$changed open images have changes that are not saved yet. They are"
        if (!Dialogs.showYesNoDialog("HER2", "$these saved together with $what. Go on?"))
            throw new Her2Cancelled()
    }

    /** Tell something that stays until it is read; the script goes on. */
    static void tell(String title, String text) {
        if (QuPathGUI.getInstance() != null)
            Platform.runLater { Dialogs.showMessageDialog(title, text) }
    }

    /** Tell a table: its columns stand below each other. */
    static void tellTable(String title, String text) {
        if (QuPathGUI.getInstance() == null)
            return
        Platform.runLater {
            Label label = new Label(text)
            label.setStyle("-fx-font-family: 'monospaced';")
            Dialogs.showMessageDialog(title, label)
        }
    }

    /** Show new metadata in the project's list. */
    static void refresh() {
        QuPathGUI window = QuPathGUI.getInstance()
        if (window != null)
            Platform.runLater { window.refreshProject() }
    }
}
