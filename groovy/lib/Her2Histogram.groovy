import groovy.transform.CompileStatic
import javafx.geometry.VPos
import javafx.scene.canvas.Canvas
import javafx.scene.canvas.GraphicsContext
import javafx.scene.paint.Color
import javafx.scene.text.Font
import javafx.scene.text.Text
import javafx.scene.text.TextAlignment

/**
 * Histogram of one measurement of an image's cells, with its cut-points as lines.
 */
@CompileStatic
class Her2Histogram extends Canvas {

    private static final int BINS = 80
    private static final double SIDE = 254
    private static final double HEIGHT = 70
    private static final double TOP = 20
    /** Height of the names, and least room between two of them, px. */
    private static final double NAMES_END = 13
    private static final double GAP = 6

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
        double[] lines = cuts.collect { Double it -> SIDE * scale.position(it) } as double[]
        double[] places = places(lines, names.collect { String it -> width(it, g.getFont()) } as double[], SIDE, GAP)
        g.setStroke(Color.rgb(200, 50, 50))
        g.setFill(Color.rgb(200, 50, 50))
        g.setLineWidth(1.5d)
        for (int i = 0; i < lines.length; i++) {
            g.strokeLine(lines[i], TOP, lines[i], HEIGHT)
            g.strokeLine(places[i], NAMES_END, lines[i], TOP)
            g.fillText(names[i], places[i], 0)
        }
    }

    private static double width(String name, Font font) {
        Text text = new Text(name)
        text.setFont(font)
        return text.getLayoutBounds().getWidth()
    }

    /**
     * Centres of names in one row: each above its line, or beside it where two would overlap or leave the picture.
     *
     * @param lines rising positions of the lines
     * @param widths of the names
     * @param side width of the picture, in which all of them have room
     * @param gap least room between two names
     */
    static double[] places(double[] lines, double[] widths, double side, double gap) {
        double[] found = lines.clone()
        double free = 0.0d
        for (int i = 0; i < found.length; i++) {
            found[i] = Math.max(found[i], free + widths[i] / 2)
            free = found[i] + widths[i] / 2 + gap
        }
        double end = side
        for (int i = found.length - 1; i >= 0; i--) {
            found[i] = Math.min(found[i], end - widths[i] / 2)
            end = found[i] - widths[i] / 2 - gap
        }
        return found
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
