import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.gui.viewer.overlays.BufferedImageOverlay
import qupath.lib.regions.ImageRegion

/**
 * A map of ours as it lies over the image of a viewer.
 */
@CompileStatic
class Her2LaidMap extends BufferedImageOverlay {

    final String name

    Her2LaidMap(QuPathViewer viewer, Map<ImageRegion, BufferedImage> regions, String name) {
        super(viewer, regions)
        this.name = name
    }

    /** The name of the map of ours that lies over the image of a viewer; null where there is none. */
    static String laid(QuPathViewer viewer) {
        Object found = viewer.getCustomOverlayLayers().find { isOurs(it) }
        return found?.toString()
    }

    /** Take maps of ours away. */
    static void take(QuPathViewer viewer) {
        viewer.getCustomOverlayLayers().removeIf { isOurs(it) }
    }

    /** By its name: a library that was replaced meanwhile has another class of that name. */
    private static boolean isOurs(Object overlay) {
        return overlay.class.simpleName == "Her2LaidMap"
    }

    @Override
    String toString() {
        return name
    }
}
