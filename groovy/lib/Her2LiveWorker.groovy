import groovy.transform.CompileStatic
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import java.util.concurrent.ThreadFactory
import java.util.concurrent.atomic.AtomicReference
import java.util.function.Consumer
import javafx.application.Platform
import org.slf4j.LoggerFactory

/**
 * Scores an image again while a cut-point is dragged, beside the JavaFX thread: of several positions that come in
 * meanwhile the last one is computed.
 */
@CompileStatic
class Her2LiveWorker {

    private final ExecutorService threads = Executors.newSingleThreadExecutor({ Runnable work ->
        Thread thread = new Thread(work, "HER2 cut-points")
        thread.setDaemon(true)
        return thread
    } as ThreadFactory)
    private final AtomicReference<Her2CutPoints> wanted = new AtomicReference<Her2CutPoints>()

    /** Do something on the worker's thread. */
    void run(Runnable work) {
        threads.submit({
            try {
                work.run()
            } catch (Throwable problem) {
                LoggerFactory.getLogger("qupath-her2").error("Cut-points", problem)
            }
        } as Runnable)
    }

    /** Score with these cut-points unless others come before; `listener` is called on the JavaFX thread. */
    void score(Her2LiveScore live, Her2CutPoints cuts, Consumer<Her2LiveScore.Result> listener) {
        if (wanted.getAndSet(cuts) != null)
            return
        run {
            Her2CutPoints taken = wanted.getAndSet(null)
            Her2LiveScore.Result result = live.at(taken)
            Platform.runLater { listener.accept(result) }
        }
    }

    void end() {
        threads.shutdownNow()
    }
}
