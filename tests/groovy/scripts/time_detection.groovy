// Times QuPath's own cell detection over the whole image, on one thread: args are pixel size in µm and number of rounds.
import java.lang.management.ManagementFactory
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.images.ImageData

PathPrefs.numCommandThreadsProperty().set(1)
setImageType(ImageData.ImageType.BRIGHTFIELD_H_DAB)
setPixelSizeMicrons(args[0] as double, args[0] as double)

def bean = ManagementFactory.getOperatingSystemMXBean()
for (int round = 0; round < (args[1] as int); round++) {
    clearAllObjects()
    createFullImageAnnotation(true)
    long wall = System.nanoTime()
    long cpu = bean.getProcessCpuTime()
    boolean done = runPlugin("qupath.imagej.detect.cells.WatershedCellDetection", """{
        "detectionImageBrightfield": "Hematoxylin OD", "requestedPixelSizeMicrons": 0.5, "backgroundRadiusMicrons": 8.0,
        "medianRadiusMicrons": 0.0, "sigmaMicrons": 1.5, "minAreaMicrons": 10.0, "maxAreaMicrons": 400.0,
        "threshold": 0.1, "maxBackground": 2.0, "watershedPostProcess": true, "cellExpansionMicrons": 5.0,
        "includeNuclei": true, "smoothBoundaries": true, "makeMeasurements": true}""")
    double cpuSeconds = (bean.getProcessCpuTime() - cpu) / 1e9
    println "TIME ${done ? getCellObjects().size() : -1} ${(System.nanoTime() - wall) / 1e9} $cpuSeconds"
}
