import groovy.transform.CompileStatic
import java.awt.BasicStroke
import java.awt.Color
import java.awt.Graphics2D
import java.awt.RenderingHints
import java.awt.Shape
import java.awt.geom.Ellipse2D
import java.awt.geom.Rectangle2D
import java.awt.image.BufferedImage
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.gui.viewer.overlays.PathOverlay
import qupath.lib.images.ImageData
import qupath.lib.regions.ImagePlane
import qupath.lib.regions.ImageRegion
import qupath.lib.roi.GeometryTools

/**
 * The outlines that people gave a region, each in the colour of its person; around a cell, whose class they differ on,
 * a ring for each of them.
 */
@CompileStatic
class Her2ConflictOutlines implements PathOverlay {

    /** Colours of people in the order of their states; they differ in lightness, too. */
    static final List<Color> COLOURS =
        [new Color(0, 70, 200), new Color(235, 120, 0), new Color(150, 0, 150), new Color(0, 140, 90)].asImmutable()
    private static final float LINE_PX = 3.0f
    /** Diameter of the first ring in diagonals of the cell, and how much wider each further one is. */
    private static final double WIDER = 1.35d
    private static final double STEP = 0.25d

    private final ImageData<?> image
    private final List<Shape> shapes = []
    private final List<Color> colours = []

    Her2ConflictOutlines(ImageData<?> image, Her2Conflict conflict) {
        this.image = image
        List<Shape> drawn = conflict.states.collect { Her2Conflict.State it -> shapeOf(it) }
        Shape cell = conflict.kind == "cell" ? drawn.find { Shape it -> it != null } : null
        for (int i = 0; i < drawn.size(); i++) {
            Shape shape = cell == null ? drawn[i] : ring(cell.getBounds2D(), WIDER + STEP * i)
            if (shape == null)
                continue
            shapes.add(shape)
            colours.add(colourOf(i))
        }
    }

    private static Shape shapeOf(Her2Conflict.State state) {
        return state.geometry == null ? null : GeometryTools.geometryToROI(Her2Shapes.read(state.geometry),
            ImagePlane.getDefaultPlane()).getShape()
    }

    private static Shape ring(Rectangle2D cell, double wider) {
        double side = wider * Math.hypot(cell.getWidth(), cell.getHeight())
        return new Ellipse2D.Double(cell.getCenterX() - side / 2, cell.getCenterY() - side / 2, side, side)
    }

    static Color colourOf(int person) {
        return COLOURS[person % COLOURS.size()]
    }

    /** Show the outlines in a viewer in place of earlier ones; null only removes those. */
    static void show(QuPathViewer viewer, Her2ConflictOutlines outlines) {
        Her2Overlays.replace(viewer, Her2ConflictOutlines, outlines)
    }

    @Override
    void paintOverlay(Graphics2D g, ImageRegion region, double downsample, ImageData<BufferedImage> data,
            boolean paintCompletely) {
        if (!data.is(image))
            return
        Graphics2D own = (Graphics2D) g.create()
        own.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON)
        for (int i = 0; i < shapes.size(); i++) {
            own.setColor(colours[i])
            // The last is dashed: where two outlines run together, both are seen.
            float line = (float) (LINE_PX * downsample)
            float[] dash = [(float) (4 * line), (float) (3 * line)] as float[]
            boolean isLast = i == shapes.size() - 1
            own.setStroke(isLast && shapes.size() > 1 ?
                new BasicStroke(line, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1.0f, dash, 0.0f) :
                new BasicStroke(line))
            own.draw(shapes[i])
        }
        own.dispose()
    }
}
