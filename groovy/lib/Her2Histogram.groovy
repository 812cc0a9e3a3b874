import groovy.transform.CompileStatic
import javafx.geometry.VPos
import javafx.scene.canvas.Canvas
import javafx.scene.canvas.GraphicsContext
import javafx.scene.paint.Color
import javafx.scene.text.TextAlignment

/**
 * Histogram of one measurement of an image's cells, with its cut-points as lines.
 */
@CompileStatic
class Her2Histogram extends Canvas {

    private static final int BINS = 80
    private static final double SIDE = 254
    private static final double HEIGHT = 70
    private static final double TOP = 12

    /** Position 0..1 of a value on the axis. */
    private final Scale scale
    private final List<String> names
    private int[] bins = new int[BINS]

    Her2Histogram(Scale scale, List<String> names) {
        super(SIDE, HEIGHT)
        this.scale = scale
        this.names = names
    }

    /** Count the measured cells. */
    static int[] count(float[] values, Scale scale) {
        int[] found = new int[BINS]
        int n = values.length
        for (int i = 0; i < n; i++) {
            float value = values[i]
            if (Float.isNaN(value))
                continue
            int bin = (int) (BINS * scale.position(value))
            int at = bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin
            found[at] = found[at] + 1
        }
        return found
    }

    void setBins(int[] bins) {
        this.bins = bins
    }

    /** Draw bars and lines; `cuts` are values of the measurement. */
    void draw(List<Double> cuts) {
        GraphicsContext g = getGraphicsContext2D()
        g.clearRect(0, 0, SIDE, HEIGHT)
        int highest = 1
        for (int count : bins)
            highest = Math.max(highest, count)
        g.setFill(Color.gray(0.55d))
        double step = SIDE / BINS
        for (int i = 0; i < BINS; i++) {
            // The root shows rare classes beside a class of nearly all cells.
            double height = (HEIGHT - TOP) * Math.sqrt((double) bins[i] / highest)
            g.fillRect(i * step, HEIGHT - height, step - 1, height)
        }
        g.setTextBaseline(VPos.TOP)
        g.setTextAlign(TextAlignment.CENTER)
        for (int i = 0; i < cuts.size(); i++) {
            double x = SIDE * scale.position(cuts[i])
            g.setStroke(Color.rgb(200, 50, 50))
            g.setLineWidth(1.5d)
            g.strokeLine(x, TOP, x, HEIGHT)
            g.setFill(Color.rgb(200, 50, 50))
            g.fillText(names[i], Math.max(22.0d, Math.min(SIDE - 22, x)), 0)
        }
    }

    /** Places values on an axis: as they are, or by their roots, which gives faint membranes as much room as strong. */
    @CompileStatic
    static final class Scale {

        static final Scale SHARE = new Scale(1.0d, false)
        static final Scale DENSITY = new Scale(1.2d, true)

        private final double most
        private final boolean isRoot

        private Scale(double most, boolean isRoot) {
            this.most = most
            this.isRoot = isRoot
        }

        double position(double value) {
            double share = Math.max(0.0d, Math.min(1.0d, value / most))
            return isRoot ? Math.sqrt(share) : share
        }

        double value(double position) {
            return most * (isRoot ? position * position : position)
        }
    }
}
