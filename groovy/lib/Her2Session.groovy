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
 * A file beside the project that is open in the window, touched every ten seconds: a push from a terminal refuses
 * while it is fresh (qupath_her2/project/window.py reads it). QuPath itself leaves no lock.
 */
@CompileStatic
class Her2Session implements Closeable {

    /** Added to the name of the project file. */
    static final String SUFFIX = ".her2-open"
    private static final int PERIOD_S = 10
    /** Age after which a window counts as gone, as in qupath_her2/project/window.py. */
    private static final int FRESH_S = 45
    private static final String KEY = "qupath_her2.session"

    private final QuPathGUI window
    private final ScheduledExecutorService clock
    private final ChangeListener<Project<BufferedImage>> listener
    private final Thread end
    private Path beat

    private Her2Session(QuPathGUI window) {
        this.window = window
        clock = Executors.newSingleThreadScheduledExecutor { Runnable work ->
            Thread thread = new Thread(work, "HER2 open project")
            thread.setDaemon(true)
            return thread
        }
        listener = { ObservableValue<? extends Project<BufferedImage>> property, Project<BufferedImage> before,
                     Project<BufferedImage> now ->
            clock.submit({ follow(now) } as Runnable)
        } as ChangeListener<Project<BufferedImage>>
        end = new Thread({ leave() } as Runnable)
    }

    /** Whether a window has a project open: its file is fresh, by the clock of this machine. */
    static boolean isOpen(Project<?> project) {
        Path file = beatOf(project)
        return file != null && Files.exists(file) &&
            System.currentTimeMillis() - Files.getLastModifiedTime(file).toMillis() < FRESH_S * 1000L
    }

    private static Path beatOf(Project<?> project) {
        Path file = project?.getPath()
        return file == null ? null : file.resolveSibling(file.getFileName().toString() + SUFFIX)
    }

    /** Begin for this window; a session of an earlier library is ended. */
    static void start(QuPathGUI window) {
        Properties shared = System.getProperties()
        synchronized (shared) {
            Object earlier = shared.get(KEY)
            if (earlier instanceof Closeable)
                ((Closeable) earlier).close()
            Her2Session session = new Her2Session(window)
            shared.put(KEY, session)
            session.begin()
        }
    }

    private void begin() {
        window.projectProperty().addListener(listener)
        Project<BufferedImage> open = window.getProject()
        clock.submit({ follow(open) } as Runnable)
        clock.scheduleWithFixedDelay({ touch() } as Runnable, PERIOD_S, PERIOD_S, TimeUnit.SECONDS)
        Runtime.getRuntime().addShutdownHook(end)
    }

    @Override
    void close() {
        Platform.runLater { window.projectProperty().removeListener(listener) }
        clock.shutdownNow()
        try {
            Runtime.getRuntime().removeShutdownHook(end)
        } catch (IllegalStateException ignored) {
            // QuPath is being closed, and the hook does its work.
            return
        }
        leave()
    }

    private synchronized void follow(Project<BufferedImage> project) {
        leave()
        beat = beatOf(project)
        touch()
        if (project != null && Her2Pending.finish(project) > 0)
            Her2Window.refresh()
    }

    private synchronized void touch() {
        if (beat == null)
            return
        try {
            // A second window on the same project may have taken the file away with it.
            if (Files.exists(beat))
                Files.setLastModifiedTime(beat, FileTime.fromMillis(System.currentTimeMillis()))
            else
                Her2Status.replace(beat, words().getBytes(StandardCharsets.UTF_8))
        } catch (IOException problem) {
            LoggerFactory.getLogger("qupath-her2").debug("{} cannot be written: {}", beat, problem)
        }
    }

    private static String words() {
        Map<String, Object> content = new TreeMap<String, Object>()
        content.put("host", InetAddress.getLocalHost().getHostName())
        content.put("process", ProcessHandle.current().pid())
        content.put("version", QuPathGUI.getVersion()?.toString())
        return new Gson().toJson(content)
    }

    private synchronized void leave() {
        try {
            if (beat != null)
                Files.deleteIfExists(beat)
        } catch (IOException problem) {
            LoggerFactory.getLogger("qupath-her2").debug("{} cannot be removed: {}", beat, problem)
        }
        beat = null
    }
}
