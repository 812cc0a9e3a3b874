// Draws two more Tumor annotations: one that overlaps the largest, with a hole in it, and one across the image's corner.
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.GeometryTools
import qupath.lib.roi.ROIs

def plane = ImagePlane.getDefaultPlane()
def server = getCurrentServer()
double w = server.getWidth(), h = server.getHeight()
def outer = ROIs.createRectangleROI(0.3d * w, 0.25d * h, 0.5d * w, 0.5d * h, plane).getGeometry()
def hole = ROIs.createEllipseROI(0.45d * w, 0.4d * h, 0.15d * w, 0.2d * h, plane).getGeometry()
def shapes = [GeometryTools.geometryToROI(outer.difference(hole), plane),
              ROIs.createRectangleROI(-0.1d * w, -0.1d * h, 0.45d * w, 0.5d * h, plane)]
addObjects(shapes.collect { PathObjects.createAnnotationObject(it, PathClass.fromString("Tumor", null)) })
println "DRAWN ${shapes.size()}"
