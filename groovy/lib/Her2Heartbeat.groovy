import com.google.gson.Gson
import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.nio.charset.StandardCharsets
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.attribute.FileTime
import java.util.concurrent.Executors
import java.util.concurrent.ScheduledExecutorService
import java.util.concurrent.TimeUnit
import javafx.application.Platform
import javafx.beans.value.ChangeListener
import javafx.beans.value.ObservableValue
import org.slf4j.LoggerFactory
import qupath.lib.gui.QuPathGUI
import qupath.lib.projects.Project

/**
 * A file beside the open project, touched every ten seconds: while it is fresh, a push from a terminal refuses to write
 * (qupath_her2/project/qupath/open_window.py reads it). QuPath itself leaves no lock.
 */
@CompileStatic
class Her2Heartbeat implements Closeable {

    private static final int PERIOD_S = 10
    private static final String KEY = "qupath_her2.session"

    private final QuPathGUI window
    private final ScheduledExecutorService scheduler
    private final ChangeListener<Project<BufferedImage>> listener
    private final Thread shutdownHook
    private Path file

    private Her2Heartbeat(QuPathGUI window) {
        this.window = window
        // A thread of its own, because a slow network drive must not freeze the window.
        scheduler = Executors.newSingleThreadScheduledExecutor { Runnable work ->
            Thread thread = new Thread(work, "HER2 open project")
            thread.setDaemon(true)
            return thread
        }
        listener = { ObservableValue<? extends Project<BufferedImage>> property, Project<BufferedImage> before,
                     Project<BufferedImage> now ->
            scheduler.submit({ follow(now) } as Runnable)
        } as ChangeListener<Project<BufferedImage>>
        shutdownHook = new Thread({ removeFile() } as Runnable)
    }

    /** Start for this window, and stop the heartbeat of an earlier version of this library. */
    static void start(QuPathGUI window) {
        Properties shared = System.getProperties()
        synchronized (shared) {
            Object earlier = shared.get(KEY)
            if (earlier instanceof Closeable)
                ((Closeable) earlier).close()
            Her2Heartbeat heartbeat = new Her2Heartbeat(window)
            shared.put(KEY, heartbeat)
            heartbeat.run()
        }
    }

    private void run() {
        window.projectProperty().addListener(listener)
        Project<BufferedImage> open = window.getProject()
        scheduler.submit({ follow(open) } as Runnable)
        // A fixed delay: after the computer has slept, missed beats are not made up for.
        scheduler.scheduleWithFixedDelay({ touch() } as Runnable, PERIOD_S, PERIOD_S, TimeUnit.SECONDS)
        Runtime.getRuntime().addShutdownHook(shutdownHook)
    }

    @Override
    void close() {
        Platform.runLater { window.projectProperty().removeListener(listener) }
        scheduler.shutdownNow()
        try {
            Runtime.getRuntime().removeShutdownHook(shutdownHook)
        } catch (IllegalStateException ignored) {
            // QuPath is shutting down, and the hook removes the file.
            return
        }
        removeFile()
    }

    private synchronized void follow(Project<BufferedImage> project) {
        removeFile()
        file = Her2ProjectFile.heartbeat(project)
        touch()
        if (project != null && Her2PendingSave.finish(project) > 0)
            Her2Window.refreshProject()
    }

    private synchronized void touch() {
        if (file == null)
            return
        try {
            // A second window on the same project removes the file when it closes.
            if (Files.exists(file))
                Files.setLastModifiedTime(file, FileTime.fromMillis(System.currentTimeMillis()))
            else
                Her2Status.replace(file, content().getBytes(StandardCharsets.UTF_8))
        } catch (IOException problem) {
            LoggerFactory.getLogger("qupath-her2").debug("{} cannot be written: {}", file, problem)
        }
    }

    private static String content() {
        Map<String, Object> content = new TreeMap<String, Object>()
        content.put("host", InetAddress.getLocalHost().getHostName())
        content.put("process", ProcessHandle.current().pid())
        content.put("version", QuPathGUI.getVersion()?.toString())
        return new Gson().toJson(content)
    }

    private synchronized void removeFile() {
        try {
            if (file != null)
                Files.deleteIfExists(file)
        } catch (IOException problem) {
            LoggerFactory.getLogger("qupath-her2").debug("{} cannot be removed: {}", file, problem)
        }
        file = null
    }
}
