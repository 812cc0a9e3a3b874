import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import org.controlsfx.control.ListSelectionView
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.dialogs.ProjectDialogs
import qupath.lib.gui.tools.GuiTools
import qupath.lib.plugins.parameters.ParameterList
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * The dialog *Score…*: cells, guideline, specimen, regions and images, in QuPath's own panel. The choices are
 * remembered for the project, and *Score open image* repeats them.
 */
@CompileStatic
class Her2ScoreDialog {

    private static final String DIALOG = "score"
    private static final String TITLE = "HER2: score"

    /** What the user wants: the script and its arguments; null after Cancel. On the JavaFX thread. */
    static Her2Order ask(QuPathGUI window, Project<BufferedImage> project) {
        Her2Choices choices = Her2Choices.of(Her2Arguments.exchangeFolder(project, null))
        ParameterList parameters = parameters(choices)
        if (!GuiTools.showParameterDialog(TITLE, parameters))
            return null
        Map<String, Object> values = new TreeMap<String, Object>()
        for (String choice : ["cells", "guideline", "specimen", "regions", Her2Choices.SCOPE])
            values.put(choice, Her2Choices.chosen(parameters, choice))
        choices.put(DIALOG, values)
        String scope = (String) values.get(Her2Choices.SCOPE)
        if (scope == Her2Scope.OPEN)
            return new Her2Order("score_image.groovy", choices.scoreArguments())
        List<String> images = scopeArguments(window, project, scope)
        return images == null ? null : new Her2Order("score_project.groovy", choices.scoreArguments() + images)
    }

    private static ParameterList parameters(Her2Choices choices) {
        ParameterList parameters = new ParameterList()
        choices.addTo(parameters, DIALOG, "cells", "Cells", "Where the scored cells come from. Cells that the image " +
            "has are measured and classified in place.")
        choices.addTo(parameters, DIALOG, "guideline", "Guideline", "Its table turns the cells into a score.")
        choices.addTo(parameters, DIALOG, "specimen", "Specimen", "Gastric biopsies are scored by other rules than " +
            "resections.")
        choices.addTo(parameters, DIALOG, "regions", "Regions", "Tumour that HER2 finds, and all tissue, are scored " +
            "though nobody has confirmed that they are tumour; the result says so.")
        choices.addTo(parameters, DIALOG, Her2Choices.SCOPE, "Images", "Several at once where the computer " +
            "allows it; each gets a score of its own.")
        parameters.addEmptyParameter("Score open image repeats these choices. Research use only.")
        return parameters
    }

    /** Arguments that name the images of a scope; null if the user cancelled the choice of images. */
    static List<String> scopeArguments(QuPathGUI window, Project<BufferedImage> project, String scope) {
        if (scope != Her2Choices.PICKED)
            return ["scope=$scope".toString()]
        List<ProjectImageEntry<BufferedImage>> shown =
            new ArrayList<ProjectImageEntry<BufferedImage>>(ProjectDialogs.getCurrentImages(window))
        ListSelectionView<ProjectImageEntry<BufferedImage>> list =
            ProjectDialogs.createImageChoicePane(window, project.getImageList(), shown, null)
        if (!Dialogs.showConfirmDialog("HER2: choose images", list))
            return null
        List<String> found = list.getTargetItems().collect { ProjectImageEntry<BufferedImage> it ->
            "entry=${it.getID()}".toString()
        }
        if (found.isEmpty())
            throw new IllegalStateException("No image was picked. Move images to the right side of the list.")
        return found
    }
}
