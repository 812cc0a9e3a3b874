import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.util.concurrent.atomic.AtomicBoolean
import java.util.function.Function
import javafx.stage.FileChooser
import org.slf4j.Logger
import org.slf4j.LoggerFactory
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.fx.utils.FXUtils
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.scripting.QPEx
import qupath.lib.gui.scripting.languages.GroovyLanguage
import qupath.lib.images.ImageData
import qupath.lib.projects.Project
import qupath.lib.scripting.ScriptParameters

/**
 * The menu Extensions > HER2. Each item runs one script in a background thread, for the image that was open when it was
 * clicked, and shows errors in a dialog.
 */
@CompileStatic
class Her2Menu {

    private static final Logger LOGGER = LoggerFactory.getLogger("qupath-her2")
    private static final String PLACE = "Extensions>HER2>"
    private static final String TITLE = "HER2"
    /** Only one script runs at a time, as two would change the same project. */
    private static final AtomicBoolean BUSY = new AtomicBoolean()

    /** Menu item, below its sub-menu: script. */
    static final Map<String, String> ITEMS = [
        "Score open image"              : "score_image.groovy",
        "Score selection"               : "score_selection.groovy",
        "Score project"                 : "score_project.groovy",
        "Cells>Classify existing cells" : "classify_cells.groovy",
        "Cells>Select cells…"           : "select_cells.groovy",
        "Regions>Propose tumour regions": "propose_regions.groovy",
        "Regions>Create classes"        : "create_classes.groovy",
        "Network>Show heat map"         : "show_heat_map.groovy",
        "Results>Open report"           : "open_report.groovy",
        "Results>Import results"        : "import_results.groovy",
        "Results>Export regions"        : "export_regions.groovy",
        "Results>Remove results"        : "remove_results.groovy",
        "Set-up>Check set-up"           : "check_setup.groovy",
    ].asImmutable()

    /** Items that repeat the choices of the dialog *Score…*. */
    private static final List<String> REPEATING =
        ["score_image.groovy", "score_selection.groovy", "score_project.groovy"].asImmutable()

    /** Add the menu to the window, or replace it; `folder` contains the scripts. */
    static void install(QuPathGUI window, File folder) {
        FXUtils.runOnApplicationThread {
            // An earlier version may have had other items.
            window.getMenu("Extensions>HER2", true).getItems().clear()
            window.installCommand(PLACE + "Score…", {
                ask(window, folder) { Project<BufferedImage> project -> Her2ScoreDialog.ask(window, project) }
            } as Runnable)
            for (Map.Entry<String, String> item : ITEMS.entrySet()) {
                String script = item.value
                window.installCommand(PLACE + item.key, { start(window, folder, script, null) } as Runnable)
            }
            window.installCommand(PLACE + "Review…", { review(window) } as Runnable)
            window.installCommand(PLACE + "Network>Predict with a network…", {
                ask(window, folder) { Project<BufferedImage> project -> Her2PredictDialog.ask(window, project) }
            } as Runnable)
            window.installCommand(PLACE + "Set-up>Set Python…", { setPython() } as Runnable)
            window.installCommand(PLACE + "Set-up>Edit a script…", { edit(window, folder) } as Runnable)
        }
        Her2Compiled.keepLater()
    }

    /** On the JavaFX thread: show a dialog, then run the script that it orders. */
    private static void ask(QuPathGUI window, File folder, Function<Project<BufferedImage>, Her2Order> dialog) {
        try {
            if (window.getProject() == null)
                throw new IllegalStateException("No project is open. Open one (File > Project > Open project), or " +
                    "make one: File > Project > Create project, choose an empty folder, then Add images.")
            Her2Order order = dialog.apply(window.getProject())
            if (order != null)
                start(window, folder, order.script, order.arguments)
        } catch (RuntimeException | IOException problem) {
            report(problem)
        }
    }

    /** On the JavaFX thread: show the window that stays open beside the image. */
    private static void review(QuPathGUI window) {
        try {
            Her2ReviewWindow.open(window)
        } catch (RuntimeException | IOException problem) {
            report(problem)
        }
    }

    /** On the JavaFX thread: take the open project and image, and run a script in the background. */
    private static void start(QuPathGUI window, File folder, String script, List<String> arguments) {
        Project<BufferedImage> project = window.getProject()
        ImageData<BufferedImage> image = window.getImageData()
        inBackground {
            List<String> words = arguments
            if (words == null)
                words = script in REPEATING && project != null ? repeated(script, project) : []
            execute(new File(folder, script), words, project, image)
        }
    }

    /** The same for another window of ours: a script of the installation. */
    static void startInstalled(QuPathGUI window, String script, List<String> arguments) {
        start(window, Her2Installation.running(), script, arguments)
    }

    private static List<String> repeated(String script, Project<BufferedImage> project) {
        Her2Choices choices = Her2Choices.of(Her2Arguments.exchangeFolder(project, null))
        return script == Her2Verb.SELECTION.script ? choices.selectionArguments() : choices.scoreArguments()
    }

    private static void inBackground(Runnable work) {
        if (!BUSY.compareAndSet(false, true)) {
            Dialogs.showInfoNotification(TITLE, "Another HER2 command is still running. Wait, or press Cancel in its " +
                "progress window.")
            return
        }
        Thread.startDaemon("HER2 menu") {
            try {
                work.run()
            } catch (Throwable problem) {
                report(problem)
            } finally {
                BUSY.set(false)
                Her2ReviewWindow.update()
            }
        }
    }

    /** Like QuPath's script editor, but without its hierarchy event at the end, which marks the image as changed. */
    private static void execute(
            File script, List<String> arguments, Project<BufferedImage> project, ImageData<BufferedImage> image) {
        ScriptParameters parameters = ScriptParameters.builder()
            .setProject(project)
            .setImageData(image)
            .setDefaultImports(QPEx.getCoreClasses())
            .setDefaultStaticImports(Collections.<Class<?>> singletonList(QPEx))
            .setFile(script)
            .setArgs(arguments as String[])
            .setBatchSaveResult(false)
            .doUpdateHierarchy(false)
            .useLogWriters()
            .build()
        GroovyLanguage.getInstance().execute(parameters)
    }

    private static void report(Throwable problem) {
        Throwable root = problem
        while (root.cause != null && !root.cause.is(root))
            root = root.cause
        // By name: after an update within one session, the former library has another class of that name.
        if (root.class.simpleName == "Her2Cancelled") {
            Dialogs.showInfoNotification(TITLE, root.message)
            return
        }
        LOGGER.error("{}", root.message, problem)
        boolean isForUser = root.class.simpleName == "Her2Refusal" || root instanceof IllegalStateException ||
            root instanceof FileNotFoundException
        String unexpected = "Unexpected ${root.class.simpleName}: ${root.message}\n\nView > Show log has the " +
            "details. Please report them."
        Dialogs.showErrorMessage(TITLE, isForUser ? Her2Words.inQuPath(root.message) : unexpected)
    }

    private static void edit(QuPathGUI window, File folder) {
        FileChooser chooser = new FileChooser()
        chooser.setTitle("A script of HER2 (an update replaces it: save yours elsewhere)")
        chooser.setInitialDirectory(folder)
        chooser.getExtensionFilters().add(new FileChooser.ExtensionFilter("Groovy scripts", "*.groovy"))
        File script = chooser.showOpenDialog(window.getStage())
        if (script != null)
            window.getScriptEditor().showScript(script)
    }

    private static void setPython() {
        File program = FileChoosers.promptForFile("Python with qupath-her2 (python.exe on Windows, bin/python " +
            "elsewhere)")
        if (program == null)
            return
        inBackground {
            Her2Python found = Her2Python.check(program)
            Her2Installation.usePython(program)
            Her2Window.show(TITLE, "Python ${found.version} with qupath-her2 ${found.packageVersion} is used " +
                "from now on.")
        }
    }
}
