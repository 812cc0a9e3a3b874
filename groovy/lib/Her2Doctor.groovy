import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import qupath.lib.gui.QuPathGUI

/**
 * What `qupath-her2 doctor` says, with the Python that QuPath starts.
 */
@CompileStatic
class Her2Doctor {

    private final File folder
    Her2Python python
    boolean isReady = false
    /** All of it, to show. */
    String text

    /** `folder` is where results would be written. */
    Her2Doctor(File folder) {
        this.folder = folder
    }

    void run() {
        python = Her2Python.find()
        try (Her2Progress progress = new Her2Progress("HER2: check set-up", true)) {
            progress.say("Scoring a drawn field", 0.3d)
            Her2PythonRun run = new Her2PythonRun(python, ["doctor", folder.getPath()], folder, 100)
            run.results = [0, 1]
            isReady = run.await(progress, { JsonObject ignored -> }) == 0
            List<String> lines = ["QuPath ${QuPathGUI.getVersion()}".toString(), "Python ${python.program}".toString()]
            text = (lines + run.lastLines()).join("\n")
        }
    }
}
