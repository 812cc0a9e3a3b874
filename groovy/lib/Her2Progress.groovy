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
 * Reports progress: in QuPath's own progress window with its Cancel button, or as lines of the log without a window.
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

    /** `isShown`: use the window if there is one; then the caller must not run on the JavaFX thread. */
    Her2Progress(String title, boolean isShown) {
        this.title = title
        QuPathGUI window = isShown ? QuPathGUI.getInstance() : null
        if (window != null && Platform.isFxApplicationThread())
            throw new Her2Refusal("This would freeze QuPath's window. Start it from Extensions > HER2, or with Run " +
                "in the script editor, without 'guiscript=true'.")
        // A task runner updates its text only when a task ends; its progress monitor alone shows text at any time.
        monitor = window == null ? null : new TaskRunnerFX(window).makeProgressMonitor()
        monitor?.startMonitoring(title, STEPS, true)
    }

    /** Show a message; `share` is the fraction done, 0..1. */
    void show(String text, double share) {
        // The window closes itself at the last step, but `close` does that, so stop one step before.
        int now = Math.max(done, Math.min(STEPS - 1, (int) Math.round(share * STEPS)))
        if (monitor != null)
            monitor.updateProgress(now - done, text, null)
        else if (now.intdiv(100) != logged)
            LOGGER.info("{}: {}", title, text)
        logged = now.intdiv(100)
        done = now
    }

    /** Message and fraction done of an event of `--progress json`; null for an event that is not shown. */
    static Map.Entry<String, Double> messageOf(JsonObject event) {
        String kind = Her2Json.text(event, "event")
        long images = (long) number(event, "images", 1)
        if (kind != "tiles" && !(kind == "started" && images > 1))
            return null
        List<String> parts = []
        Double left = Her2Json.number(event, "seconds_left")
        if (images > 1) {
            // The window cuts a long line off at its end, so that a long name comes late.
            parts.add("${(long) number(event, 'images_done', 0)} of $images done".toString())
            if (left != null)
                parts.add(duration(left.doubleValue()))
            parts.add(Her2Json.text(event, "name"))
        }
        if (kind == "tiles")
            parts.add(String.format(Locale.ROOT, "Cells: %,d", (long) number(event, "cells", 0)))
        if (images == 1 && left != null)
            parts.add(duration(left.doubleValue()))
        return Map.entry(parts.join(" · "), number(event, "share", 0))
    }

    private static double number(JsonObject event, String name, double fallback) {
        Double found = Her2Json.number(event, name)
        return found == null ? fallback : found.doubleValue()
    }

    private static String duration(double seconds) {
        if (seconds < 90)
            return "about ${Math.max(1L, Math.round(seconds))} s left"
        return "about ${Math.round(seconds / 60.0d)} min left"
    }

    /** Whether the user pressed Cancel, or the thread was interrupted (Kill in the script editor). */
    @Override
    boolean getAsBoolean() {
        return worker.isInterrupted() || (monitor != null && monitor.cancelled())
    }

    @Override
    void close() {
        monitor?.pluginCompleted("")
    }
}
