import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.lang.reflect.Method
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.images.servers.PixelCalibration

/**
 * Size and scale of an image as QuPath has them now, and whether a result is of that image.
 */
@CompileStatic
class Her2Frame {

    /** Share by which two pixel sizes may differ and be one: what decimals in a file leave open. */
    private static final double SAME = 1e-6

    final int width
    final int height
    /** µm per pixel; NaN where QuPath has none. */
    final double pixelSize

    Her2Frame(ImageData<?> image) {
        ImageServerMetadata facts = metadata(image)
        width = facts.getWidth()
        height = facts.getHeight()
        PixelCalibration scale = facts.getPixelCalibration()
        pixelSize = scale.hasPixelSizeMicrons() ? scale.getAveragedPixelSizeMicrons().doubleValue() : Double.NaN
    }

    /** QuPath 0.6 and later know an image's size without opening its file, which may be on another machine. */
    private static ImageServerMetadata metadata(ImageData<?> image) {
        for (Method method : image.getClass().getMethods())
            if (method.getName() == "getServerMetadata" && method.getParameterCount() == 0)
                return (ImageServerMetadata) method.invoke(image)
        return image.getServer().getMetadata()
    }

    /**
     * Refuse a result of another image, or of this one at another scale.
     *
     * @param pulled what images.json says of the image
     */
    void check(Her2Result result, JsonObject pulled, String name) {
        String id = Her2Json.text(pulled, "id")
        if (result.imageId != id)
            throw new Her2Refusal("The result in '${result.folder}' is of image '${result.imageName}' " +
                "(${result.imageId}), not of '$name' ($id). Nothing was written. Score this image.")
        if (result.width != width || result.height != height)
            throw new Her2Refusal("Image '$name' is $width x $height px in QuPath, its result was made on " +
                "${result.width} x ${result.height} px. Nothing was written. Export and score the image again.")
        Double before = Her2Json.number(pulled, "pixel_size_um")
        checkScale(before == null ? Double.NaN : before, name)
        if (result.pixelSizeIsQuPaths)
            checkScale(result.pixelSize, name)
    }

    private void checkScale(double before, String name) {
        boolean same = Double.isNaN(before) ? Double.isNaN(pixelSize) : Math.abs(before - pixelSize) <= SAME * before
        if (!same)
            throw new Her2Refusal("The pixel size of image '$name' is ${words(pixelSize)} in QuPath now; it was " +
                "${words(before)} when the image was exported. Nothing was written. Export and score the image again.")
    }

    private static String words(double size) {
        return Double.isNaN(size) ? "not set" : "$size µm"
    }
}
