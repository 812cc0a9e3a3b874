/**
 * Make a project as QuPath saves it: args[0] is its folder, args[1] the folder of the images, then KIND=FILE for each
 * image, where KIND is what to do to it. Every image gets the annotations of FILE.geojson, if that file exists.
 */
import java.awt.image.BufferedImage
import qupath.lib.images.ImageData.ImageType
import qupath.lib.images.servers.CroppedImageServer
import qupath.lib.images.servers.ImageServers
import qupath.lib.images.servers.RotatedImageServer
import qupath.lib.images.servers.RotatedImageServer.Rotation
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObjectTools
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.DefaultTMAGrid
import qupath.lib.projects.Projects
import qupath.lib.regions.ImagePlane
import qupath.lib.regions.ImageRegion
import qupath.lib.roi.GeometryTools
import qupath.lib.roi.ROIs

Class.forName("qupath.lib.images.servers.openslide.jna.OpenSlideLoader")
    .getMethod("tryToLoadQuietly", String[]).invoke(null, [new String[0]] as Object[])
new File(args[0]).mkdirs()
def project = Projects.createProject(new File(args[0]), BufferedImage)
def images = new File(args[1])
def plane = ImagePlane.getDefaultPlane()

args.drop(2).each { word ->
    def (kind, name) = word.split("=", 2) as List<String>
    def builders = ImageServers.getImageSupport(new File(images, name).toURI()).getBuilders()
    def builder = kind == "second" ? builders[1] : builders[0]
    if (kind == "rotated")
        builder = new RotatedImageServer(builder.build(), Rotation.ROTATE_90).getBuilder()
    if (kind == "turned")
        builder = new RotatedImageServer(new CroppedImageServer(builder.build(),
            ImageRegion.createInstance(40, 24, 480, 440, 0, 0)), Rotation.ROTATE_270).getBuilder()
    if (kind == "cropped")
        builder = new CroppedImageServer(builder.build(), ImageRegion.createInstance(100, 60, 400, 480, 0, 0)).getBuilder()
    if (kind == "pyramid")
        builder = ImageServers.pyramidalize(builder.build(), 1d, 4d).getBuilder()
    def entry = project.addImage(builder)
    entry.setImageName(kind == "twice" ? "same name" : kind.startsWith("named") ? name : "${kind}.tif".toString())
    if (kind == "untouched")
        return
    def data = entry.readImageData()
    data.setImageType(kind == "fluorescence" ? ImageType.FLUORESCENCE : kind.endsWith("he") ? ImageType.BRIGHTFIELD_H_E : ImageType.BRIGHTFIELD_H_DAB)
    def hierarchy = data.getHierarchy()
    def regions = new File(images, name.replaceAll(/(\.ome)?\.[a-z]+$/, ".geojson"))
    // In the frame of a cropped or turned image a region lies elsewhere; there all of it is drawn on.
    if (regions.isFile() && kind in ["plain", "named", "named-he"]) {
        hierarchy.addObjects(PathIO.readObjects(regions.toPath()))
    } else if (kind != "tma") {
        def whole = ROIs.createRectangleROI(0, 0, data.getServer().getWidth(), data.getServer().getHeight(), plane)
        hierarchy.addObject(PathObjects.createAnnotationObject(whole, PathClass.fromString("Tumor")))
    }
    if (kind == "shapes") {
        def hole = ROIs.createRectangleROI(0, 0, 90, 90, plane).getGeometry()
            .difference(ROIs.createRectangleROI(20, 20, 30, 30, plane).getGeometry())
        def two = hole.union(ROIs.createRectangleROI(200, 200, 50.5, 20.25, plane).getGeometry())
        def lines = GeometryTools.getDefaultFactory().createMultiLineString([
            ROIs.createLineROI(0, 0, 9, 9, plane).getGeometry(), ROIs.createLineROI(20, 0, 29, 9, plane).getGeometry()
        ] as org.locationtech.jts.geom.LineString[])
        [["hole", GeometryTools.geometryToROI(hole, plane), "Ignore*"], ["parts", GeometryTools.geometryToROI(two, plane), "Stroma"],
         ["ellipse", ROIs.createEllipseROI(20.123, 30.456, 50, 60, plane), "Tumor: 3+"], ["point", ROIs.createPointsROI(7, 8, plane), null],
         ["points", ROIs.createPointsROI([1, 2] as double[], [3, 4] as double[], plane), "Other"],
         ["line", ROIs.createLineROI(1, 2, 30, 40, plane), null], ["lines", GeometryTools.geometryToROI(lines, plane), null],
         ["above", ROIs.createRectangleROI(5, 5, 10, 10, ImagePlane.getPlane(1, 0)), "Tumor"],
         ["bow tie", ROIs.createPolygonROI([300, 340, 340, 300] as double[], [300, 340, 300, 340] as double[], plane), "Tumor"],
        ].each { label, roi, pathClass ->
            def object = PathObjects.createAnnotationObject(roi, pathClass == null ? null : PathClass.fromString(pathClass))
            object.setName(label == "hole" ? 'ho "le" ü\n' : label)
            object.setLocked(label in ["hole", "ellipse"])
            hierarchy.addObject(object)
        }
    }
    if (kind == "tma") {
        def cores = (0..<6).collect { PathObjects.createTMACoreObject(20 + 190 * (it % 3), 20 + 280 * it.intdiv(3), 170, 170, it == 4) }
        cores.eachWithIndex { core, i -> core.setName("ABC"[i % 3] + "-" + (1 + i.intdiv(3))) }
        hierarchy.setTMAGrid(DefaultTMAGrid.create(cores, 3))
    }
    if (kind == "cells") {
        def random = new Random(1)
        def cells = (0..<200).collect {
            double x = 30 + 500 * random.nextDouble(), y = 30 + 500 * random.nextDouble()
            def ring = { double r -> [(0..<12).collect { x + r * Math.cos(it * Math.PI / 6) } as double[],
                                      (0..<12).collect { y + r * Math.sin(it * Math.PI / 6) } as double[]] }
            def (cx, cy) = ring(9d)
            def (nx, ny) = ring(4d)
            def nucleus = it % 5 == 4 ? null : ROIs.createPolygonROI(nx, ny, plane)
            def cell = PathObjects.createCellObject(ROIs.createPolygonROI(cx, cy, plane), nucleus,
                it % 3 == 0 ? PathClass.fromString("Immune cells") : null, null)
            cell.measurements["DAB: Membrane: Mean"] = it / 100d
            if (it % 2 == 0)
                cell.measurements["Nucleus: Area"] = it
            cell
        }
        hierarchy.addObjects(cells)
        hierarchy.addObject(PathObjects.createTileObject(ROIs.createRectangleROI(0, 0, 50, 50, plane)))
        hierarchy.addObject(PathObjects.createDetectionObject(ROIs.createRectangleROI(300, 300, 8, 6, plane)))
    }
    if (!kind.startsWith("named"))
        entry.putMetadataValue("case", "K-" + entry.getID())
    entry.putMetadataValue("Scanner", "drawn")
    entry.saveImageData(data)
}
project.syncChanges()
println "MADE ${project.getImageList().size()}"
