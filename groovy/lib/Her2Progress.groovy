import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.util.function.BooleanSupplier
import javafx.application.Platform
import org.slf4j.Logger
import org.slf4j.LoggerFactory
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.TaskRunnerFX
import qupath.lib.plugins.SimpleProgressMonitor

/**
 * How far a piece of work is: in QuPath's own progress window with its Cancel, or as lines of the log without one.
 */
@CompileStatic
class Her2Progress implements BooleanSupplier, Closeable {

    private static final Logger LOGGER = LoggerFactory.getLogger("qupath-her2")
    private static final int STEPS = 1000

    private final SimpleProgressMonitor monitor
    private final Thread worker = Thread.currentThread()
    private final String title
    private int done = 0
    private int logged = -1

    /** `isShown`: in a window, where there is one; the thread must not be the one that draws it. */
    Her2Progress(String title, boolean isShown) {
        this.title = title
        QuPathGUI window = isShown ? QuPathGUI.getInstance() : null
        if (window != null && Platform.isFxApplicationThread())
            throw new Her2Refusal("This would hold up QuPath's window. Start it from Extensions > HER2, or by Run in " +
                "the script editor, without 'guiscript=true'.")
        // A task runner shows text only when a task has ended; its window by itself shows it at any time.
        monitor = window == null ? null : new TaskRunnerFX(window).makeProgressMonitor()
        monitor?.startMonitoring(title, STEPS, true)
    }

    /** Show a text; `share` of all is done, 0..1. */
    void say(String text, double share) {
        // The window closes itself at the last step; closing is ours.
        int now = Math.max(done, Math.min(STEPS - 1, (int) Math.round(share * STEPS)))
        if (monitor != null)
            monitor.updateProgress(now - done, text, null)
        else if (now.intdiv(100) != logged)
            LOGGER.info("{}: {}", title, text)
        logged = now.intdiv(100)
        done = now
    }

    /** What a line of `--progress json` says: text and share; null where it says nothing to show. */
    static Map.Entry<String, Double> shown(JsonObject event) {
        if (Her2Json.text(event, "event") != "tiles")
            return null
        double images = number(event, "images", 1)
        double part = number(event, "done", 0) / Math.max(1.0d, number(event, "total", 1))
        double share = (number(event, "images_done", 0) + part) / Math.max(1.0d, images)
        List<String> words = [String.format(Locale.ROOT, "Cells: %,d", (long) number(event, "cells", 0))]
        if (images > 1)
            words.add(0, Her2Json.text(event, "name"))
        Double left = Her2Json.number(event, "seconds_left")
        if (left != null)
            words.add(duration(left.doubleValue()))
        return Map.entry(words.join(" · "), share)
    }

    private static double number(JsonObject event, String name, double otherwise) {
        Double found = Her2Json.number(event, name)
        return found == null ? otherwise : found.doubleValue()
    }

    private static String duration(double seconds) {
        if (seconds < 90)
            return "about ${Math.max(1L, Math.round(seconds))} s left"
        return "about ${Math.round(seconds / 60.0d)} min left"
    }

    /** Whether the person pressed Cancel, or the thread was interrupted (Kill in the script editor). */
    @Override
    boolean getAsBoolean() {
        return worker.isInterrupted() || (monitor != null && monitor.cancelled())
    }

    @Override
    void close() {
        monitor?.pluginCompleted("")
    }
}
