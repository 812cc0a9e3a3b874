// Adds args[0] cells with drawn HER2 measurements to the open image, for measuring times; nothing is saved.
import qupath.lib.measurements.MeasurementList
import qupath.lib.measurements.MeasurementListFactory
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

int n = args[0] as int
def image = getCurrentImageData()
double step = Math.sqrt(image.getServer().getWidth() * (double) image.getServer().getHeight() / n)
int columns = (int) (image.getServer().getWidth() / step)
def random = new Random(4)
def plane = ImagePlane.getDefaultPlane()
def negative = PathClass.fromString("Tumor: Negative")
def cells = (0..<n).collect { int i ->
    def list = MeasurementListFactory.createMeasurementList(5, MeasurementList.MeasurementListType.FLOAT)
    list.put("HER2: Membrane own DAB OD", Math.pow(random.nextDouble(), 2))
    list.put("HER2: Membrane completeness", random.nextDouble())
    list.put("HER2: Membrane is lateral", random.nextInt(2))
    // As a Negative cell was written, so that its class counts as the program's.
    list.put("HER2: Membrane intensity", 0)
    list.put("HER2: Membrane pattern", 0)
    list.close()
    def roi = ROIs.createRectangleROI((i % columns) * step, i.intdiv(columns) * step, step * 0.9, step * 0.9, plane)
    PathObjects.createDetectionObject(roi, negative, list)
}
image.getHierarchy().addObjects(cells)
println "ADDED ${n}"
