import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import javafx.application.Platform
import qupath.fx.dialogs.Dialogs
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.images.ImageData

/**
 * The heat maps of an image, one after the other over the image in QuPath's window, and after the last one none.
 */
@CompileStatic
class Her2HeatMaps {

    /** Show the next of `maps` over `image`; returns its name, "none" after the last one, or null without a window. */
    static String next(List<Her2HeatMap> maps, ImageData<BufferedImage> image) {
        QuPathViewer viewer = QuPathGUI.getInstance()?.getAllViewers()
            ?.find { QuPathViewer it -> it.getImageData().is(image) }
        if (viewer == null)
            return null
        String before = Her2LaidMap.laid(viewer)
        int place = maps.findIndexOf { Her2HeatMap it -> it.name == before } + 1
        Her2HeatMap map = place < maps.size() ? maps[place] : null
        // Read here: large pictures would hold up the window.
        BufferedImage drawn = map?.read()
        String words = map == null ? "No map any more." : "${map.name}: blue low, red high. Choose it again for the " +
            "next one. Key C hides it, the slider of the toolbar fades it."
        Platform.runLater {
            if (!viewer.getImageData().is(image))
                return
            if (map == null)
                Her2LaidMap.take(viewer)
            else
                map.lay(viewer, drawn)
            viewer.repaint()
            Dialogs.showInfoNotification("HER2", words)
        }
        return map == null ? "none" : map.name
    }
}
