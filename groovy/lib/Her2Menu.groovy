import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.util.concurrent.atomic.AtomicBoolean
import org.slf4j.Logger
import org.slf4j.LoggerFactory
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
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

    /** Menu item: script. */
    static final Map<String, String> ITEMS = [
        "Score open image"       : "score_image.groovy",
        "Score project"          : "score_project.groovy",
        "Propose tumour regions" : "propose_regions.groovy",
        "Classify existing cells": "classify_cells.groovy",
        "Select cells…"          : "select_cells.groovy",
        "Show heat map"          : "show_heat_map.groovy",
        "Open report"            : "open_report.groovy",
        "Import results"         : "import_results.groovy",
        "Remove results"         : "remove_results.groovy",
        "Export regions"         : "export_regions.groovy",
        "Create classes"         : "create_classes.groovy",
        "Check set-up"           : "check_setup.groovy",
    ].asImmutable()

    /** Add the menu to the window, or replace it; `folder` contains the scripts. */
    static void install(QuPathGUI window, File folder) {
        for (Map.Entry<String, String> item : ITEMS.entrySet()) {
            File script = new File(folder, item.value)
            window.installCommand(PLACE + item.key, { start(window, script) } as Runnable)
        }
        window.installCommand(PLACE + "Set Python…", { setPython() } as Runnable)
        Her2Compiled.keepLater()
    }

    /** On the JavaFX thread: take the open project and image, and run the script in the background. */
    private static void start(QuPathGUI window, File script) {
        Project<BufferedImage> project = window.getProject()
        ImageData<BufferedImage> image = window.getImageData()
        inBackground { execute(script, project, image) }
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
            }
        }
    }

    /** Like QuPath's script editor, but without its hierarchy event at the end, which marks the image as changed. */
    private static void execute(File script, Project<BufferedImage> project, ImageData<BufferedImage> image) {
        ScriptParameters parameters = ScriptParameters.builder()
            .setProject(project)
            .setImageData(image)
            .setDefaultImports(QPEx.getCoreClasses())
            .setDefaultStaticImports(Collections.<Class<?>> singletonList(QPEx))
            .setFile(script)
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
