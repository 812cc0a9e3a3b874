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
 * The menu Extensions > HER2: each item runs one script in a thread of its own, for the image that was open when it
 * was clicked, and shows in plain words what went wrong.
 */
@CompileStatic
class Her2Menu {

    private static final Logger LOGGER = LoggerFactory.getLogger("qupath-her2")
    private static final String PLACE = "Extensions>HER2>"
    private static final String TITLE = "HER2"
    /** One piece of work at a time: they would change the same project. */
    private static final AtomicBoolean BUSY = new AtomicBoolean()

    /** Text of the item: script. */
    static final Map<String, String> ITEMS = [
        "Score open image"       : "score_image.groovy",
        "Score project"          : "score_project.groovy",
        "Classify existing cells": "classify_cells.groovy",
        "Show heat map"          : "show_heat_map.groovy",
        "Open report"            : "open_report.groovy",
        "Import results"         : "import_results.groovy",
        "Remove results"         : "remove_results.groovy",
        "Export regions"         : "export_regions.groovy",
        "Create classes"         : "create_classes.groovy",
        "Check set-up"           : "check_setup.groovy",
    ].asImmutable()

    /** Put the menu into the window, or renew it; `folder` holds the scripts. */
    static void install(QuPathGUI window, File folder) {
        for (Map.Entry<String, String> item : ITEMS.entrySet()) {
            File script = new File(folder, item.value)
            window.installCommand(PLACE + item.key, { begin(window, script) } as Runnable)
        }
        window.installCommand(PLACE + "Set Python…", { setPython() } as Runnable)
        Her2Compiled.keepLater()
    }

    /** On the thread of the window: take what is open now, and leave. */
    private static void begin(QuPathGUI window, File script) {
        Project<BufferedImage> project = window.getProject()
        ImageData<BufferedImage> image = window.getImageData()
        inBackground { execute(script, project, image) }
    }

    private static void inBackground(Runnable work) {
        if (!BUSY.compareAndSet(false, true)) {
            Dialogs.showInfoNotification(TITLE, "Still at work. Wait, or press Cancel in the progress window.")
            return
        }
        Thread.startDaemon("HER2 menu") {
            try {
                work.run()
            } catch (Throwable problem) {
                show(problem)
            } finally {
                BUSY.set(false)
            }
        }
    }

    /** As QuPath's script editor runs a script, but without the event after its end: it marks images as changed. */
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

    private static void show(Throwable problem) {
        Throwable root = problem
        while (root.cause != null && !root.cause.is(root))
            root = root.cause
        // By its name: a library that was replaced meanwhile has another class of that name.
        if (root.class.simpleName == "Her2Cancelled") {
            Dialogs.showInfoNotification(TITLE, root.message)
            return
        }
        LOGGER.error("{}", root.message, problem)
        boolean isForPeople = root.class.simpleName == "Her2Refusal" || root instanceof IllegalStateException ||
            root instanceof FileNotFoundException
        String unforeseen = "Unexpected ${root.class.simpleName}: ${root.message}\n\nView > Show log has the " +
            "details. Please report them."
        Dialogs.showErrorMessage(TITLE, isForPeople ? root.message : unforeseen)
    }

    private static void setPython() {
        File program = FileChoosers.promptForFile("Python with qupath-her2 (python.exe on Windows, bin/python " +
            "elsewhere)")
        if (program == null)
            return
        inBackground {
            Her2Python found = Her2Python.ask(program)
            Her2Installed.usePython(program)
            Her2Window.tell(TITLE, "Python ${found.version} with qupath-her2 ${found.packageVersion} is used from " +
                "now on.")
        }
    }
}
