import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import qupath.lib.analysis.algorithms.EstimateStainVectors
import qupath.lib.color.ColorDeconvolutionStains
import qupath.lib.color.ColorDeconvolutionStains.DefaultColorDeconvolutionStains
import qupath.lib.color.StainVector
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServer
import qupath.lib.objects.PathObject
import qupath.lib.regions.RegionRequest

/**
 * The stain vectors of an image in QuPath: whether they are QuPath's defaults, and an estimate from its tumour by
 * QuPath's own method.
 */
@CompileStatic
class Her2ImageStains {

    /** Side of the square that is read, px; its middle is that of the largest annotation. */
    private static final int SIDE_PX = 1500
    private static final double SAME = 1.0e-3d
    /** QuPath's own limits in *Estimate stain vectors*: OD, and per cent of extreme pixels. */
    private static final double MIN_OD = 0.05d
    private static final double MAX_OD = 1
    private static final double IGNORED_PERCENT = 1
    private static final String NAME = "H-DAB estimated by HER2 review"

    /** Whether an image has the vectors that QuPath gives to every H-DAB image. */
    static boolean isDefault(ImageData<?> image) {
        ColorDeconvolutionStains now = image.getColorDeconvolutionStains()
        if (now == null || !now.isH_DAB())
            return false
        ColorDeconvolutionStains plain =
            ColorDeconvolutionStains.makeDefaultColorDeconvolutionStains(DefaultColorDeconvolutionStains.H_DAB)
        return [1, 2].every { int n -> isSame(now.getStain(n), plain.getStain(n)) }
    }

    private static boolean isSame(StainVector one, StainVector other) {
        return Math.abs(one.getRed() - other.getRed()) < SAME && Math.abs(one.getGreen() - other.getGreen()) < SAME &&
            Math.abs(one.getBlue() - other.getBlue()) < SAME
    }

    /** The vectors of the pixels around the middle of the largest annotation; the image is not changed. */
    static ColorDeconvolutionStains estimate(ImageData<BufferedImage> image) {
        ImageServer<BufferedImage> server = image.getServer()
        PathObject largest = image.getHierarchy().getAnnotationObjects()
            .findAll { PathObject it -> it.getROI().isArea() }.max { PathObject it -> it.getROI().getArea() }
        double x = largest == null ? server.getWidth() / 2.0d : largest.getROI().getCentroidX()
        double y = largest == null ? server.getHeight() / 2.0d : largest.getROI().getCentroidY()
        int left = start(x, server.getWidth())
        int top = start(y, server.getHeight())
        BufferedImage pixels = server.readRegion(RegionRequest.createInstance(server.getPath(), 1, left, top,
            Math.min(SIDE_PX, server.getWidth() - left), Math.min(SIDE_PX, server.getHeight() - top)))
        ColorDeconvolutionStains found = EstimateStainVectors.estimateStains(
            EstimateStainVectors.smoothImage(pixels), image.getColorDeconvolutionStains(), MIN_OD, MAX_OD,
            IGNORED_PERCENT, true)
        if (found == null)
            throw new Her2Refusal("QuPath found no two stains around the middle of the largest annotation. Estimate " +
                "them by hand: Analyze > Preprocessing > Estimate stain vectors.")
        return new ColorDeconvolutionStains(NAME, found.getStain(1), found.getStain(2), found.getMaxRed(),
            found.getMaxGreen(), found.getMaxBlue())
    }

    private static int start(double middle, int size) {
        return (int) Math.max(0.0d, Math.min(middle - SIDE_PX / 2.0d, (double) (size - SIDE_PX)))
    }
}
