import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.lang.reflect.Method
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.images.servers.PixelCalibration

/**
 * The size and pixel size of an image as they are in QuPath now, and the check that a result belongs to that image.
 */
@CompileStatic
class Her2ImageSize {

    /** Relative difference up to which two pixel sizes are equal: the rounding of decimals in a file. */
    private static final double SAME = 1e-6

    final int width
    final int height
    /** µm per pixel; NaN if QuPath has none. */
    final double pixelSize

    Her2ImageSize(ImageData<?> image) {
        ImageServerMetadata facts = metadata(image)
        width = facts.getWidth()
        height = facts.getHeight()
        PixelCalibration scale = facts.getPixelCalibration()
        pixelSize = scale.hasPixelSizeMicrons() ? scale.getAveragedPixelSizeMicrons().doubleValue() : Double.NaN
    }

    /** QuPath 0.6 and later know an image's size without opening the file, which may not be on this machine. */
    private static ImageServerMetadata metadata(ImageData<?> image) {
        for (Method method : image.getClass().getMethods())
            if (method.getName() == "getServerMetadata" && method.getParameterCount() == 0)
                return (ImageServerMetadata) method.invoke(image)
        return image.getServer().getMetadata()
    }

    /**
     * Refuse a result of another image, or of this image with another size or pixel size.
     *
     * @param pulled the image's entry in images.json
     */
    void check(Her2Result result, JsonObject pulled, String name) {
        String id = Her2Json.text(pulled, "id")
        if (result.imageId != id)
            throw new Her2Refusal("The result in '${result.folder}' belongs to image '${result.imageName}' " +
                "(${result.imageId}), not to '$name' ($id). Nothing was written. Score this image.")
        if (result.width != width || result.height != height)
            throw new Her2Refusal("Image '$name' has $width x $height px in QuPath, but its result was made on " +
                "${result.width} x ${result.height} px. Nothing was written. Export and score the image again.")
        Double before = Her2Json.number(pulled, "pixel_size_um")
        checkScale(before == null ? Double.NaN : before, name)
        // A pixel size entered for scoring may differ from QuPath's on purpose.
        if (result.pixelSizeIsQuPaths)
            checkScale(result.pixelSize, name)
    }

    private void checkScale(double before, String name) {
        boolean same = Double.isNaN(before) ? Double.isNaN(pixelSize) : Math.abs(before - pixelSize) <= SAME * before
        if (!same)
            throw new Her2Refusal("The pixel size of image '$name' is ${text(pixelSize)} in QuPath now; it was " +
                "${text(before)} when the image was exported. Nothing was written. Export and score the image again.")
    }

    private static String text(double size) {
        return Double.isNaN(size) ? "not set" : "$size µm"
    }
}
