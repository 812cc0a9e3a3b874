// Reviews the open image as a person would: args[0] is the exchange folder, args[1] the library, args[2] the number of
// cells, args[3] `undo` to take everything back at the end. It answers cells in a fixed order with another class than they
// have, rejects a tumour region, rejects one proposal and accepts another; the proposals are drawn first. Without `undo`
// it deletes three more cells in QuPath's own way.
import java.security.MessageDigest
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

def loader = Class.forName("groovy.lang.GroovyClassLoader").getConstructor(ClassLoader)
    .newInstance(qupath.lib.objects.PathObject.classLoader)
loader.addClasspath(args[1])
def make = { name, Object... words -> loader.loadClass(name).getConstructors()[0].newInstance(words) }
def digest = { image ->
    def bytes = new ByteArrayOutputStream()
    qupath.lib.io.PathIO.writeImageData(bytes, image)
    HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes.toByteArray()))
}

def her2 = new File(args[0])
def image = getCurrentImageData()
def hierarchy = image.getHierarchy()
if (args[2] == "0") {
    // Proposals stand in the image when it is scored.
    [20, 60].each { side ->
        def roi = ROIs.createRectangleROI(5, 5 + side, 30, 20, ImagePlane.getDefaultPlane())
        hierarchy.addObject(PathObjects.createAnnotationObject(roi, PathClass.fromString("Tumor?")))
    }
    println "PROPOSED 2"
    return
}
def id = loader.loadClass("Her2Exchange").idsByEntry(her2)[getProjectEntry().getID()]
// QuPath stores the centroid with an outline once somebody has asked for it.
hierarchy.getCellObjects().each { it.getROI().getCentroidX() }
image.setChanged(false)
def before = digest(image)
def labels = make("Her2ReviewLabels", her2, "Anna")
def session = make("Her2ReviewSession", image, getProject(), labels)
def regions = make("Her2RegionReview", image, getProject())
def classes = loader.loadClass("Her2ReviewSession").CLASSES
def cells = hierarchy.getCellObjects().sort { it.getID().toString() }.take(args[2] as int)
def values = ["0", "1+", "2+", "3+", "x"]
def said = []
cells.eachWithIndex { cell, int k ->
    def now = cell.getPathClass().toString()
    def value = (0..4).collect { values[(k + it) % 5] }.find { classes[it] != now }
    def item = make("Her2ReviewItem", id, cell.getID(), cell.getROI().getCentroidX(), cell.getROI().getCentroidY(), now, "")
    session.answer(item, cell, value, false)
    said << "${cell.getID()}|${now}|${classes[value]}"
}
def asked = []
while (regions.next() != null) {
    def region = regions.current()
    def isProposal = loader.loadClass("Her2RegionReview").isProposal(region)
    if (isProposal && asked.isEmpty())
        regions.accept()
    else if (asked.size() < 3)
        regions.reject()
    else
        break
    asked << "${region.getID()}|${region.getParent() == null ? 'removed' : region.getPathClass()}"
}
def during = digest(image)
if (args.length > 3 && args[3] == "undo") {
    while (regions.undo())
        continue
    while (session.stepCount() > 0)
        session.undo()
}
else {
    def gone = hierarchy.getCellObjects().sort { it.getID().toString() }.drop(args[2] as int).take(3)
    println "DELETED ${gone.collect { "${it.getID()}|${it.getPathClass()}" }.join(';')}"
    hierarchy.removeObjects(gone, true)
}
println "SAME ${digest(image) == before} CHANGED ${during != before} MARK ${image.isChanged()}"
println "CELLS ${said.join(';')}"
println "REGIONS ${asked.join(';')}"
