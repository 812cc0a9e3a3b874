// Writes a conformance set to folder args[0]: one object of every kind on a synthetic image, saved and exported by QuPath.
import java.awt.Color
import java.awt.image.BufferedImage
import java.nio.file.Files
import java.nio.file.Path
import javax.imageio.ImageIO
import qupath.lib.common.ColorTools
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServerMetadata
import qupath.lib.images.servers.ImageServerProvider
import qupath.lib.io.FeatureCollection
import qupath.lib.io.GsonTools
import qupath.lib.io.PathIO
import qupath.lib.io.PathIO.GeoJsonExportOptions
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.DefaultTMAGrid
import qupath.lib.projects.Projects
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.GeometryTools
import qupath.lib.roi.ROIs

plane = ImagePlane.getDefaultPlane()
// Without a window QuPath draws a class's colour by lot, so that each is told.
colours = ["Tumor": [200, 0, 0], "Stroma": [150, 200, 150], "Ignore*": [180, 180, 180], "Other": [255, 200, 0],
           "Immune cells": [160, 90, 160], "Tumor: 3+": [200, 50, 50], "Zebra: fine": [1, 20, 255]]

PathClass classOf(String name) {
    return name == null ? null : PathClass.fromString(name, ColorTools.packRGB(*colours[name]))
}

PathObject numbered(int kind, int number, PathObject made, String name = null) {
    made.setID(UUID.fromString(String.format("%d0000000-0000-4000-8000-%012d", kind, number)))
    made.setName(name)
    return made
}

PathObject annotation(int number, String name, String pathClass, roi) {
    return numbered(1, number, PathObjects.createAnnotationObject(roi, classOf(pathClass)), name)
}

def polygon(double... xy) {
    def x = [], y = []
    for (int i = 0; i < xy.length; i += 2) { x << xy[i]; y << xy[i + 1] }
    return ROIs.createPolygonROI(x as double[], y as double[], plane)
}

def rectangle(double x, double y, double width, double height) {
    return GeometryTools.createRectangle(x, y, width, height)
}

File drawn(File folder) {
    def picture = new BufferedImage(200, 160, BufferedImage.TYPE_INT_RGB)
    def pen = picture.createGraphics()
    [[Color.WHITE, 0, 0, 200, 160], [new Color(190, 150, 120), 10, 10, 100, 80], [new Color(120, 110, 170), 40, 30, 8, 8]].each {
        pen.setColor(it[0])
        pen.fillRect(*it[1..4])
    }
    pen.dispose()
    folder.mkdirs()
    def file = new File(folder, "drawn.png")
    ImageIO.write(picture, "PNG", file)
    return file
}

List<PathObject> everyKind() {
    def hole = rectangle(10, 10, 100, 80).difference(rectangle(70.25, 60.5, 20, 10.75))
    def tumour = annotation(1, "a tumour with a hole", "Tumor", GeometryTools.geometryToROI(hole, plane))
    tumour.setLocked(true)
    tumour.getMeasurementList().put("mine", 1.5d)
    tumour.getMeasurementList().put("not measured", Double.NaN)
    def stroma = annotation(2, null, "Stroma", polygon(20.12, 20.34, 60.5, 20, 60, 50, 20, 50.99))
    def ignore = annotation(3, "in the stroma", "Ignore*", ROIs.createRectangleROI(30, 30, 10, 10, plane))
    tumour.addChildObject(stroma)
    stroma.addChildObject(ignore)
    def parts = rectangle(120, 10, 30, 20).difference(rectangle(125, 15, 5, 5)).union(rectangle(160, 10, 12.5, 20.25))
    def label = annotation(8, "a label", "Tumor: 3+", ROIs.createRectangleROI(92, 12, 14, 14, plane))
    label.setLocked(true)
    def coloured = annotation(9, 'colöured "by hand"', null, polygon(120, 40, 150, 40, 135, 60))
    coloured.setColor(10, 20, 30)
    def above = ROIs.createRectangleROI(120, 70, 20, 15, ImagePlane.getPlane(1, 0))

    def cell = { int number, double x, double y, boolean hasNucleus, String pathClass ->
        def made = PathObjects.createCellObject(polygon(x - 5, y - 5, x + 5, y - 5, x + 5.5, y + 5, x - 5, y + 5),
            hasNucleus ? ROIs.createEllipseROI(x - 2, y - 2, 4, 4, plane) : null, classOf(pathClass), null)
        made.getMeasurementList().put("Cell: Area", 102.5d)
        return numbered(2, number, made)
    }
    def first = cell(1, 80, 40, true, "Tumor: 3+")
    first.setPathClass(first.getPathClass(), 0.75d)
    def detection = numbered(2, 3, PathObjects.createDetectionObject(ROIs.createRectangleROI(20, 70, 6, 8, plane), classOf("Immune cells")))
    def tile = numbered(2, 4, PathObjects.createTileObject(ROIs.createRectangleROI(40, 60, 16, 16, plane)), "a tile")
    tile.getMeasurementList().put("p", 0.25d)
    tumour.addChildObjects([first, cell(2, 95, 40, false, null), detection, tile])
    return [
        tumour, label, coloured,
        annotation(4, "two parts", "Tumor", GeometryTools.geometryToROI(parts, plane)),
        annotation(5, "ellipse", "Tumor", ROIs.createEllipseROI(150, 50, 40, 20, plane)),
        annotation(6, "line", "Other", ROIs.createLineROI(1, 2, 30.5, 9, plane)),
        annotation(7, "points", "Immune cells", ROIs.createPointsROI([5, 7.25, 3] as double[], [100, 102, 101] as double[], plane)),
        annotation(10, "above", "Tumor", above),
        annotation(11, "polyline", null, ROIs.createPolylineROI([1, 8, 12] as double[], [95, 92, 97] as double[], plane)),
        annotation(12, "a class of my own", "Zebra: fine", ROIs.createRectangleROI(160, 100, 30, 30, plane)),
        annotation(13, "one point", null, ROIs.createPointsROI(6, 110, plane)),
    ]
}

// ---- the project, and what QuPath writes of it ------------------------------

def folder = new File(args[0])
def picture = drawn(new File(folder, "project"))
def project = Projects.createProject(new File(folder, "project"), BufferedImage)
def entry = project.addImage(ImageServerProvider.getPreferredUriImageSupport(BufferedImage, picture.toURI().toString()).getBuilders()[0])
entry.setImageName("drawn.png")
entry.putMetadataValue("case", "K-7")
ImageData<BufferedImage> image = entry.readImageData()
image.setImageType(ImageData.ImageType.BRIGHTFIELD_H_DAB)
image.updateServerMetadata(new ImageServerMetadata.Builder(image.getServer().getMetadata()).pixelSizeMicrons(0.5, 0.5).build())
def hierarchy = image.getHierarchy()
hierarchy.addObjects(everyKind())
def cores = [PathObjects.createTMACoreObject(40, 125, 50, false), PathObjects.createTMACoreObject(100, 125, 50, true)]
cores.eachWithIndex { core, i -> numbered(3, i + 1, core, "A-" + (i + 1)) }
hierarchy.setTMAGrid(DefaultTMAGrid.create(cores, 2))
entry.saveImageData(image)
project.syncChanges()

def all = hierarchy.getFlattenedObjectList(null).findAll { !it.isRootObject() }.sort { it.getID().toString() }
PathIO.exportObjectsAsGeoJSON(new File(folder, "array.geojson"), all)
PathIO.exportObjectsAsGeoJSON(new File(folder, "collection.geojson"), all, GeoJsonExportOptions.FEATURE_COLLECTION, GeoJsonExportOptions.PRETTY_JSON)
Path nested = new File(folder, "nested.geojson").toPath()
Files.writeString(nested, GsonTools.getInstance().toJson(FeatureCollection.wrap(hierarchy.getRootObject().getChildObjects(), true)))
println "MADE ${all.size()}"
