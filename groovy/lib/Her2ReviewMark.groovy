import groovy.transform.CompileStatic
import java.awt.BasicStroke
import java.awt.Color
import java.awt.Graphics2D
import java.awt.RenderingHints
import java.awt.Shape
import java.awt.geom.Ellipse2D
import java.awt.image.BufferedImage
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.gui.viewer.overlays.PathOverlay
import qupath.lib.images.ImageData
import qupath.lib.regions.ImageRegion
import qupath.lib.roi.interfaces.ROI

/**
 * A ring around the cell that is asked: wide enough to leave its membrane free, which a drawn outline would hide.
 */
@CompileStatic
class Her2ReviewMark implements PathOverlay {

    private static final double WIDER = 1.35d
    private static final float LINE_PX = 2.5f

    private final ImageData<?> image
    private final Shape ring

    Her2ReviewMark(ImageData<?> image, ROI cell) {
        this.image = image
        double side = WIDER * Math.hypot(cell.getBoundsWidth(), cell.getBoundsHeight())
        ring = new Ellipse2D.Double(cell.getCentroidX() - side / 2, cell.getCentroidY() - side / 2, side, side)
    }

    /** Show the mark in a viewer in place of an earlier one; null only removes that. */
    static void show(QuPathViewer viewer, Her2ReviewMark mark) {
        Her2Overlays.replace(viewer, Her2ReviewMark, mark)
    }

    @Override
    void paintOverlay(Graphics2D g, ImageRegion region, double downsample, ImageData<BufferedImage> data,
            boolean paintCompletely) {
        if (!data.is(image))
            return
        Graphics2D own = (Graphics2D) g.create()
        own.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON)
        // Black on white shows on every stain.
        own.setColor(Color.WHITE)
        own.setStroke(new BasicStroke((float) (2 * LINE_PX * downsample)))
        own.draw(ring)
        own.setColor(Color.BLACK)
        own.setStroke(new BasicStroke((float) (LINE_PX * downsample)))
        own.draw(ring)
        own.dispose()
    }
}
