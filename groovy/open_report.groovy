/**
 * Open the HER2 report of the project in the web browser.
 *
 * REQUIRES  an open project that has been scored; without QuPath's window it only prints where the report is
 * READS     her2/report.html next to the project
 * WRITES    nothing
 * STEPS     1. find the report  2. open it
 * TESTED    QuPath 0.5.1, 0.6.0, 0.7.0
 */
import java.awt.image.BufferedImage
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.tools.GuiTools
import qupath.lib.projects.Project
import static qupath.lib.scripting.QP.*

// SETTINGS -----------------------------------------------------------------
def exchangeFolder = ""     // folder of the results; "" is the folder her2 next to the project file
// ---- nothing to edit below -----------------------------------------------

checkMinVersion("0.5.0")
Project<BufferedImage> project = getProject()
if (project == null)
    throw new IllegalStateException("No project is open, so there is no report. Open one (File > Project > Open " +
        "project).")
def folder = exchangeFolder ? new File(exchangeFolder) : new File(project.getPath().getParent().toFile(), "her2")
def report = new File(folder, "report.html")
if (!report.isFile())
    throw new IllegalStateException("There is no report yet ('${report}'). Score an image first: Extensions > HER2 > " +
        "Score open image.")
if (QuPathGUI.getInstance() != null) {
    GuiTools.browseURI(report.toURI())
    // Whether a browser opened, Java cannot tell.
    Dialogs.showInfoNotification("HER2", "The report is the file ${report}.\nIf it did not open, open it in a browser.")
}
println "HER2_OPEN_REPORT_OK report=${report.toURI()}"
