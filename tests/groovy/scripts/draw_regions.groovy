// Draws args[0] Tumor annotations of random shape and place: rectangles, ellipses and polygons, some with a hole, some
// across the edge of the image; they overlap each other and lie within each other. The seed is the image's name.
import qupath.lib.geom.Point2
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.GeometryTools
import qupath.lib.roi.ROIs

def plane = ImagePlane.getDefaultPlane()
def server = getCurrentServer()
double w = server.getWidth(), h = server.getHeight()
def random = new Random(getProjectEntry().getImageName().hashCode())
def made = (0..<(args[0] as int)).collect { int k ->
    double width = (0.3d + 0.3d * random.nextDouble()) * w, height = (0.3d + 0.3d * random.nextDouble()) * h
    // Up to a third of the region may lie outside the image.
    double x = -0.3d * width + random.nextDouble() * (w - 0.4d * width)
    double y = -0.3d * height + random.nextDouble() * (h - 0.4d * height)
    def roi = k % 3 == 0 ? ROIs.createRectangleROI(x, y, width, height, plane) :
        k % 3 == 1 ? ROIs.createEllipseROI(x, y, width, height, plane) :
        ROIs.createPolygonROI([new Point2(x, y + 0.4d * height), new Point2(x + 0.5d * width, y),
            new Point2(x + width, y + 0.6d * height), new Point2(x + 0.6d * width, y + height)], plane)
    if (k % 4 == 0)
        roi = GeometryTools.geometryToROI(roi.getGeometry().difference(ROIs.createEllipseROI(
            x + 0.4d * width, y + 0.4d * height, 0.2d * width, 0.2d * height, plane).getGeometry()), plane)
    def annotation = PathObjects.createAnnotationObject(roi, PathClass.fromString("Tumor", null))
    annotation.setName("drawn ${k + 1}")
    return annotation
}
addObjects(made)
println "DRAWN ${made.size()}"
