import groovy.transform.CompileStatic
import javafx.animation.Animation
import javafx.animation.KeyFrame
import javafx.animation.Timeline
import javafx.event.ActionEvent
import javafx.event.EventHandler
import javafx.util.Duration

/**
 * Tells when a person saves an image. QuPath announces no save, so the time of the image's data file is watched, on the
 * JavaFX thread.
 */
@CompileStatic
class Her2SaveWatch {

    private static final Duration STEP = Duration.seconds(1)

    private final Timeline timer
    private final Runnable saved
    private Her2ReviewImage image
    private long seen

    /** `saved` is called after each save, on the JavaFX thread. */
    Her2SaveWatch(Runnable saved) {
        this.saved = saved
        timer = new Timeline(new KeyFrame(STEP, { ActionEvent it -> look() } as EventHandler<ActionEvent>))
        timer.setCycleCount(Animation.INDEFINITE)
    }

    /** Watch an image from its present state on; null ends that. */
    void follow(Her2ReviewImage image) {
        this.image = image
        seen = modified()
        if (image == null)
            timer.stop()
        else
            timer.play()
    }

    private void look() {
        long now = modified()
        // QuPath clears its mark once the file is whole. What is changed before that belongs to the next save.
        if (image == null || now == seen || image.image.isChanged())
            return
        seen = now
        saved.run()
    }

    private long modified() {
        return image == null ? 0L : image.entry.getEntryPath().resolve("data.qpdata").toFile().lastModified()
    }
}
