import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import javafx.application.Platform
import javafx.beans.property.BooleanProperty
import javafx.scene.control.ButtonType
import javafx.scene.control.Dialog
import javafx.scene.control.Label
import javafx.stage.Stage
import javafx.stage.Window
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.images.ImageData
import qupath.lib.objects.classes.PathClass
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * QuPath's window, if there is one: the images open in it, and the dialogs shown there.
 */
@CompileStatic
class Her2Window {

    /** Preference: whether the user agreed that unsaved changes are saved together with results. */
    private static final String SAVING = "her2SaveChangesWithResults"
    private static final double TEXT_WIDTH = 420

    /** Whether an image is open in the window; images that *Run for project* opens for a script are not. */
    static boolean isShown(ImageData<?> image) {
        return image != null && shownImages().any { ImageData<BufferedImage> it -> it.is(image) }
    }

    private static List<ImageData<BufferedImage>> shownImages() {
        QuPathGUI window = QuPathGUI.getInstance()
        if (window == null)
            return []
        return window.getAllViewers().collect { QuPathViewer it -> it.getImageData() }
            .findAll { ImageData<BufferedImage> it -> it != null }
    }

    /** Images of a project by entry ID: those open in the window, and the one that a script runs for (may be null). */
    static Map<String, ImageData<?>> openImages(Project<BufferedImage> project, ImageData<BufferedImage> own) {
        Map<String, ImageData<?>> found = new LinkedHashMap<String, ImageData<?>>()
        // Last, so that it wins: *Run for project* saves its own copy, not the one in the window.
        for (ImageData<BufferedImage> image : shownImages() + [own]) {
            ProjectImageEntry<BufferedImage> entry = image == null ? null : project.getEntry(image)
            if (entry != null)
                found.put(entry.getID(), image)
        }
        return found
    }

    /**
     * Ask before the user's own unsaved changes are saved too; throws Her2Cancelled on No. Yes is remembered, as most
     * people draw a region and score it: the question would come each time.
     */
    static void confirmSaving(Collection<? extends ImageData<?>> images, String what) {
        int changed = images.count { ImageData<?> it -> hasUnsavedChanges(it) }.intValue()
        BooleanProperty isAgreed = PathPrefs.createPersistentPreference(SAVING, false)
        if (changed == 0 || isAgreed.get())
            return
        String subject = changed == 1 ? "This image has" : "$changed open images have"
        if (!Dialogs.showYesNoDialog("HER2", "$subject unsaved changes, such as a region that you drew. They are " +
            "saved together with $what.\n\nContinue, and do so from now on without asking?"))
            throw new Her2Cancelled()
        isAgreed.set(true)
    }

    /** Ask before images are scored by another guideline than before, `used`; throws Her2Cancelled on No. */
    static void confirmGuideline(List<String> used, Set<String> wanted) {
        List<String> others = used.findAll { String it -> Her2Guidelines.differs(it, wanted) }
        if (others.isEmpty() || QuPathGUI.getInstance() == null)
            return
        String subject = used.size() == 1 ? "This image was" : "${others.size()} of ${used.size()} images were"
        String question = "$subject scored by another guideline: ${others.unique(false).join('; ')}. " +
            "Score by ${wanted.join(' or ')} from now on?"
        if (!Dialogs.showYesNoDialog("HER2", question))
            throw new Her2Cancelled()
    }

    /** Ask whether objects whose run is gone are replaced; false without asking if there are none, or no window. */
    static boolean wantsReplacing(int lost) {
        return lost > 0 && QuPathGUI.getInstance() != null && Dialogs.showYesNoDialog("HER2",
            "$lost objects of earlier results are in this image, but the files of their result are gone, for example " +
            "because the project was copied without its folder her2. Cells that you edited cannot be told from the " +
            "others. Replace them all?\n\nNo: they stay, and no new cell is added in their place.")
    }

    /** Ask before a removal that `planned`, a dry run, describes; throws Her2Cancelled on No. */
    static void confirmRemoval(ImageData<?> image, Map<String, Object> planned) {
        String what = (String) planned.get("what")
        if (!isShown(image) || !(what || (int) planned.get("restored") > 0))
            return
        List<String> parts = ["Remove ${what ?: 'the classes'} of qupath-her2 from this image?".toString()]
        if ((int) planned.get("edited") > 0)
            parts.add("What you edited stays (${planned.get('edited')}).".toString())
        if ((int) planned.get("restored") > 0)
            parts.add("${planned.get('restored')} cells that were there before get their class back.".toString())
        if (hasUnsavedChanges(image))
            parts.add("Unsaved changes of yours are saved with it.")
        if (!Dialogs.showYesNoDialog("HER2: remove results", parts.join(" ")))
            throw new Her2Cancelled()
    }

    private static boolean hasUnsavedChanges(ImageData<?> image) {
        Project<BufferedImage> project = QuPathGUI.getInstance()?.getProject()
        return isShown(image) &&
            Her2UnsavedChanges.isIn(image, project?.getEntry((ImageData<BufferedImage>) image))
    }

    /** Show a message that stays until it is closed; the script continues. */
    static void show(String title, String text) {
        QuPathGUI window = QuPathGUI.getInstance()
        if (window == null)
            return
        Platform.runLater {
            Label label = new Label(Her2Words.inQuPath(text))
            label.setWrapText(true)
            label.setPrefWidth(TEXT_WIDTH)
            label.setMinHeight(Label.USE_PREF_SIZE)
            box(window, title, label)
        }
    }

    private static void box(QuPathGUI window, String title, Label content) {
        Dialog<ButtonType> dialog = Dialogs.builder().owner(window.getStage()).title(title).content(content)
            .buttons(ButtonType.OK).resizable().build()
        dialog.setOnShown { centre(dialog.getDialogPane().getScene().getWindow(), window) }
        dialog.showAndWait()
    }

    /** Move a box to the middle of QuPath's window: one that opens while another closes may lie half off the screen. */
    static void centre(Window box, QuPathGUI window) {
        Stage over = window.getStage()
        box.setX(Math.max(0.0d, over.getX() + (over.getWidth() - box.getWidth()) / 2))
        box.setY(Math.max(0.0d, over.getY() + (over.getHeight() - box.getHeight()) / 2))
    }

    /** Ask for one of several choices, the first of which is proposed; throws Her2Cancelled on Cancel. */
    static String choose(String title, String question, List<String> choices) {
        String chosen = Dialogs.showChoiceDialog(title, question, choices, choices[0])
        if (chosen == null)
            throw new Her2Cancelled()
        return chosen
    }

    /** Show a table in a monospaced font, so that its columns line up. */
    static void showTable(String title, String text) {
        QuPathGUI window = QuPathGUI.getInstance()
        if (window == null)
            return
        Platform.runLater {
            Label label = new Label(Her2Words.inQuPath(text))
            label.setStyle("-fx-font-family: 'monospaced';")
            box(window, title, label)
        }
    }

    /** Append the classes of cells to the list of the window that shows the project, for corrections by hand. */
    static void listCellClasses(Project<?> project) {
        QuPathGUI window = QuPathGUI.getInstance()
        if (window == null || !window.getProject().is(project))
            return
        Platform.runLater {
            List<PathClass> listed = window.getAvailablePathClasses()
            for (String name : Her2Classes.COLOURS.keySet())
                if (name.startsWith("Tumor: ") && !listed.contains(PathClass.fromString(name, null)))
                    listed.add(Her2Classes.named(name, listed))
        }
    }

    /** Update the project browser, so that it shows new metadata. */
    static void refreshProject() {
        QuPathGUI window = QuPathGUI.getInstance()
        if (window != null)
            Platform.runLater { window.refreshProject() }
    }
}
