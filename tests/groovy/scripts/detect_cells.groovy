// Runs QuPath's own cell detection in all Tumor annotations; args[0] is the cell expansion in µm.
import qupath.lib.objects.PathObject

def annotations = getAnnotationObjects().findAll { PathObject it -> it.getPathClass()?.toString() == "Tumor" }
selectObjects(annotations)
boolean done = runPlugin("qupath.imagej.detect.cells.WatershedCellDetection", """{
    "detectionImageBrightfield": "Hematoxylin OD", "requestedPixelSizeMicrons": 0.5, "backgroundRadiusMicrons": 8.0,
    "medianRadiusMicrons": 0.0, "sigmaMicrons": 1.5, "minAreaMicrons": 10.0, "maxAreaMicrons": 400.0,
    "threshold": 0.1, "maxBackground": 2.0, "watershedPostProcess": true, "cellExpansionMicrons": ${args[0]},
    "includeNuclei": true, "smoothBoundaries": true, "makeMeasurements": true}""")
println "DETECTED ${done ? getCellObjects().size() : -1}"
