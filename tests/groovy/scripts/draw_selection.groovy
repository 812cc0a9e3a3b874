// Draws a rectangle args[1] to args[4] (x, y, width, height, full-resolution px) with the UUID args[0] and, where there
// is an args[5], this class; or moves the annotation with this UUID there.
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

def (x, y, width, height) = args[1..4].collect { it as double }
def roi = ROIs.createRectangleROI(x, y, width, height, ImagePlane.getDefaultPlane())
def known = getAnnotationObjects().find { it.getID().toString() == args[0] }
if (known != null) {
    known.setROI(roi)
} else {
    def drawn = PathObjects.createAnnotationObject(roi, args.length > 5 ? PathClass.fromString(args[5], null) : null)
    drawn.setID(UUID.fromString(args[0]))
    drawn.setName("hot spot")
    addObjects([drawn])
}
println "SELECTION ${args[0]}"
