// Draws a square of args[1] px at x = y = args[2] and scores it as *Score selection* does, args[0] times, moved by 40 px
// each time. Prints how long each took, from the click to the cells in the saved image, the processor time of QuPath's
// own thread in it, and the time of the same request alone.
import java.awt.image.BufferedImage
import java.lang.management.ManagementFactory
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObjects
import qupath.lib.projects.Project
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

def found = Class.forName("groovy.lang.GroovyClassLoader").getConstructor(ClassLoader).newInstance(qupath.lib.objects.PathObject.classLoader)
found.addClasspath(new File(System.getProperty("qupath_her2.groovy"), "lib").path)
setImageType('BRIGHTFIELD_H_DAB')
setPixelSizeMicrons(0.32, 0.32)
def image = getCurrentImageData()
def project = getProject()
int side = args[1] as int
int from = args[2] as int
def drawn = PathObjects.createAnnotationObject(ROIs.createRectangleROI(from, from, side, side, ImagePlane.getDefaultPlane()))
addObjects([drawn])
def kinds = [Project, ImageData, String, List] as Class[]
def scoring = found.loadClass("Her2SelectionScoring").getConstructor(kinds)
def her2 = new File(project.getPath().getParent().toFile(), "her2")
(args[0] as int).times { int number ->
    drawn.setROI(ROIs.createRectangleROI(from + 40 * number, from, side, side, ImagePlane.getDefaultPlane()))
    long cpu = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime()
    long start = System.nanoTime()
    def result = scoring.newInstance(project, image, "", ["annotation=${drawn.getID()}".toString()]).score()
    long ms = (System.nanoTime() - start).intdiv(1_000_000)
    long own = (ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - cpu).intdiv(1_000_000)
    start = System.nanoTime()
    def service = found.loadClass("Her2Service").find()
    def field = [project: her2.path, image: result.image, region: drawn.getID().toString(), options: [:]]
    def run = service.scoreField(field, new File(her2, "again $number"))
    long again = (System.nanoTime() - start).intdiv(1_000_000)
    start = System.nanoTime()
    found.loadClass("Her2Result").read(run)
    println "CLICK cells=${image.getHierarchy().getCellObjects().size()} ms=$ms own=$own service=$again " +
        "read=${(System.nanoTime() - start).intdiv(1_000_000)} message=${result.message.readLines()[0]}"
}
