// Makes a project in folder args[0] with image args[1] and every kind of object that a pathologist may draw.
import java.awt.image.BufferedImage
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.images.servers.ImageServerProvider
import qupath.lib.measurements.MeasurementList
import qupath.lib.measurements.MeasurementListFactory
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.DefaultTMAGrid
import qupath.lib.projects.Projects
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.GeometryTools
import qupath.lib.roi.ROIs

plane = ImagePlane.getDefaultPlane()

PathObject annotation(int number, roi, String pathClass, String name = null) {
    def made = PathObjects.createAnnotationObject(roi, pathClass == null ? null : PathClass.fromString(pathClass, null))
    made.setID(UUID.fromString(String.format("10000000-0000-4000-8000-%012d", number)))
    made.setName(name)
    return made
}

def polygon(double... xy) {
    def x = [], y = []
    for (int i = 0; i < xy.length; i += 2) { x << xy[i]; y << xy[i + 1] }
    return ROIs.createPolygonROI(x as double[], y as double[], plane)
}

PathObject cell(int number, double x, double y, String pathClass) {
    def list = MeasurementListFactory.createMeasurementList(2, MeasurementList.MeasurementListType.FLOAT)
    list.put("Cell: Area", 12.5d * number)
    list.close()
    def made = PathObjects.createCellObject(ROIs.createEllipseROI(x - 5, y - 5, 10, 10, plane),
        number % 2 ? ROIs.createEllipseROI(x - 2, y - 2, 4, 4, plane) : null,
        pathClass == null ? null : PathClass.fromString(pathClass, null), list)
    made.setID(UUID.fromString(String.format("20000000-0000-4000-8000-%012d", number)))
    return made
}

def project = Projects.createProject(new File(args[0]), BufferedImage)
def support = ImageServerProvider.getPreferredUriImageSupport(BufferedImage, new File(args[1]).toURI().toString())
def entry = project.addImage(support.getBuilders()[0])
entry.setImageName("drawn")
ImageData<BufferedImage> image = entry.readImageData()
image.setImageType(ImageData.ImageType.BRIGHTFIELD_H_DAB)
image.updateServerMetadata(new ImageServerMetadata.Builder(image.getServer().getMetadata())
    .pixelSizeMicrons(0.5, 0.5).build())

def tumour = annotation(1, polygon(20, 20, 180, 20, 180, 180, 20, 180), "Tumor", "big one")
tumour.setLocked(true)
tumour.getMeasurementList().put("mine", 1.5d)
def stroma = annotation(2, polygon(100, 100, 150, 100, 150, 150, 100, 150), "Stroma")
stroma.addChildObject(PathObjects.createTileObject(ROIs.createRectangleROI(110, 110, 8, 8, plane), null, null))
def label = annotation(3, polygon(30, 30, 40, 30, 40, 40), "Tumor: 3+")
label.setLocked(true)
tumour.addChildObjects([stroma, label])
def second = annotation(4, ROIs.createRectangleROI(200, 20, 180, 120, plane), "Tumor", "zweite")
(1..6).each { second.addChildObject(cell(it, 205.0d + 20 * it, 40.0d, it == 1 ? null : it < 4 ? "Positive" : "Negative")) }
second.getChildObjectsAsArray()[1].setPathClass(PathClass.fromString("Positive", null), 0.75d)
second.getChildObjectsAsArray()[0].setColor(10, 20, 30)
def ellipse = annotation(5, ROIs.createEllipseROI(220, 160, 40, 20, plane), null, "ellipse")
ellipse.setColor(1, 2, 3)
def points = annotation(6, ROIs.createPointsROI([5d, 6d] as double[], [7d, 8d] as double[], plane), "Immune cells")
def line = annotation(7, ROIs.createLineROI(1, 1, 50, 9, plane), null)
def hole = GeometryTools.createRectangle(300, 160, 60, 30).difference(GeometryTools.createRectangle(310, 165, 10, 10))
    .union(GeometryTools.createRectangle(370, 170, 10, 10))
def holed = annotation(8, GeometryTools.geometryToROI(hole, plane), "Other")
def copied = annotation(9, polygon(20, 20, 180, 20, 180, 180, 20, 180), null, "a copy of the big one")
image.getHierarchy().addObjects([tumour, second, ellipse, points, line, holed, copied])
def cores = [PathObjects.createTMACoreObject(40, 200, 80, false), PathObjects.createTMACoreObject(160, 200, 80, true)]
cores.eachWithIndex { core, i ->
    core.setName("A-" + (i + 1))
    core.setID(UUID.fromString(String.format("30000000-0000-4000-8000-%012d", i + 1)))
}
image.getHierarchy().setTMAGrid(DefaultTMAGrid.create(cores, 2))
entry.putMetadataValue("Case", "7")
entry.saveImageData(image)
project.syncChanges()
