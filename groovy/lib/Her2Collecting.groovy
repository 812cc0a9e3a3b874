import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.util.function.Consumer
import qupath.lib.images.ImageData
import qupath.lib.projects.ProjectImageEntry

/**
 * Collects what people changed: saves the open image, exports the project, and has Python compare it with what was
 * written. The steps take long and run in the background.
 */
@CompileStatic
class Her2Collecting {

    private final Her2ReviewImage image
    private final String reader
    private final Consumer<String> progress

    /** `progress` takes a sentence on any thread. */
    Her2Collecting(Her2ReviewImage image, String reader, Consumer<String> progress) {
        this.image = image
        this.reader = reader
        this.progress = progress
    }

    /** Save the open images, export all, and return the arguments of Python's command. */
    List<String> prepare(String verb) {
        Map<String, ImageData<?>> open = Her2Window.openImages(image.project, image.image)
        Her2Window.confirmSaving(open.values(), "the corrections")
        for (ProjectImageEntry<BufferedImage> entry : image.project.getImageList()) {
            ImageData<BufferedImage> data = (ImageData) open.get(entry.getID())
            if (data != null && data.isChanged()) {
                progress.accept("Saving ${entry.getImageName()}…".toString())
                entry.saveImageData(data)
            }
        }
        progress.accept("Reading the project…")
        return export(verb, open, null)
    }

    /** Export the shown image, which was just saved, and return the arguments of Python's command. */
    List<String> prepareSaved(String verb) {
        return export(verb, Her2Window.openImages(image.project, image.image), [image.entry.getID()])
    }

    private List<String> export(String verb, Map<String, ImageData<?>> open, List<String> only) {
        Her2Export export = new Her2Export(image.project, image.her2)
        export.open = (Map) open
        export.run(only)
        return ["review", verb, image.project.getPath().toString(), "--reviewer", reader, "--out", image.her2.getPath()]
    }
}
