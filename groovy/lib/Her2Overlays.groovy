import groovy.transform.CompileStatic
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.gui.viewer.overlays.PathOverlay

/**
 * Overlays of ours in a viewer: one of each kind.
 */
@CompileStatic
class Her2Overlays {

    /** Show an overlay in place of the earlier one of its kind; null only removes that. */
    static void replace(QuPathViewer viewer, Class<? extends PathOverlay> kind, PathOverlay overlay) {
        // By name: the class of an overlay that an earlier window left was loaded by another loader.
        viewer.getCustomOverlayLayers().removeIf { Object it -> it.class.simpleName == kind.simpleName }
        if (overlay != null) {
            viewer.getCustomOverlayLayers().add(overlay)
            // QuPath draws custom overlays only while pixel classifications are shown.
            viewer.getOverlayOptions().setShowPixelClassification(true)
        }
        viewer.repaint()
    }
}
