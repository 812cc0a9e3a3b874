import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.nio.file.Files
import java.nio.file.Path
import java.util.stream.Stream
import javafx.stage.FileChooser
import qupath.fx.dialogs.FileChoosers
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.tools.GuiTools
import qupath.lib.plugins.parameters.ParameterList
import qupath.lib.projects.Project

/**
 * The dialog *Predict with a network…*: a trained network, Grad-CAM, regions and images. Networks in her2/models are
 * listed; any other can be chosen as a file.
 */
@CompileStatic
class Her2PredictDialog {

    private static final String DIALOG = "predict"
    private static final String TITLE = "HER2: predict with a network"
    private static final String OTHER = "Another one: choose its file next"
    /** Folders below her2/models in which networks are searched for: one per recipe and training. */
    private static final int DEPTH = 5
    private static final String WEIGHTS = ".safetensors"

    /** What the user wants: the script and its arguments; null after Cancel. On the JavaFX thread. */
    static Her2Order ask(QuPathGUI window, Project<BufferedImage> project) {
        File her2 = Her2Arguments.exchangeFolder(project, null)
        Her2Choices choices = Her2Choices.of(her2)
        Map<String, File> networks = networks(new File(her2, "models"), choices.text(DIALOG, "model"))
        ParameterList parameters = parameters(choices, networks.keySet())
        if (!GuiTools.showParameterDialog(TITLE, parameters))
            return null
        String chosen = (String) parameters.getChoiceParameterValue("model")
        // No "?:" here: since Groovy 5 (QuPath 0.7) a File is true only if it exists, and weights lack their ending.
        File network = networks.containsKey(chosen) ? networks.get(chosen) : chooseFile()
        if (network == null)
            return null
        String scope = Her2Choices.chosen(parameters, Her2Choices.SCOPE)
        boolean isCam = parameters.getBooleanParameterValue("cam")
        choices.put(DIALOG, [model: (Object) network.getPath(), cam: isCam as String, (Her2Choices.SCOPE): scope,
                             regions: Her2Choices.chosen(parameters, "regions")])
        List<String> images = Her2ScoreDialog.scopeArguments(window, project, scope)
        if (images == null)
            return null
        return new Her2Order("predict_images.groovy", ["model=${network.getPath()}".toString()] +
            (isCam ? ["cam"] : []) + choices.regionArguments(DIALOG) + images)
    }

    private static ParameterList parameters(Her2Choices choices, Set<String> networks) {
        ParameterList parameters = new ParameterList()
        List<String> listed = new ArrayList<String>(networks)
        listed.add(OTHER)
        parameters.addChoiceParameter("model", "Network", listed[0], listed,
            "A network that was trained on annotated images.")
        parameters.addBooleanParameter("cam", "Also show what each prediction looked at (Grad-CAM; takes longer)",
            choices.text(DIALOG, "cam") == "true")
        choices.addTo(parameters, DIALOG, "regions", "Regions", "Patches are cut in these regions.")
        choices.addTo(parameters, DIALOG, Her2Choices.SCOPE, "Images", "Predicted one after the other.")
        parameters.addEmptyParameter("A prediction is shown beside the score and never replaces it. Research use only.")
        return parameters
    }

    /** Networks by the name that the list shows, the last one used first. */
    private static Map<String, File> networks(File models, String last) {
        Map<String, File> found = new LinkedHashMap<String, File>()
        File former = last.isEmpty() ? null : new File(last)
        if (former != null && new File(former.getPath() + WEIGHTS).isFile())
            found.put(nameOf(models, former), former)
        if (!models.isDirectory())
            return found
        try (Stream<Path> paths = Files.walk(models.toPath(), DEPTH)) {
            for (Path path : paths.sorted().toList())
                if (path.toString().endsWith(WEIGHTS)) {
                    File network = withoutEnding(path.toFile())
                    found.putIfAbsent(nameOf(models, network), network)
                }
        }
        return found
    }

    private static String nameOf(File models, File network) {
        String path = network.getPath()
        String start = models.getPath() + File.separator
        return path.startsWith(start) ? path.substring(start.length()).replace("\\", "/") : path
    }

    private static File chooseFile() {
        File file = FileChoosers.promptForFile("Network: its weights, *$WEIGHTS",
            new FileChooser.ExtensionFilter("Weights of a network", "*" + WEIGHTS))
        return file == null ? null : withoutEnding(file)
    }

    private static File withoutEnding(File file) {
        String path = file.getPath()
        return new File(path.endsWith(WEIGHTS) ? path.substring(0, path.length() - WEIGHTS.length()) : path)
    }
}
