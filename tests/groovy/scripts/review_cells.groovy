// Reviews cells of the open image as a person would in the review window: args[0] is the exchange folder, args[1] the
// reader, args[2] the library, args[3] the number of cells, args[4] what happens at the end: undo, blind or keep.
import java.security.MessageDigest

def loader = Class.forName("groovy.lang.GroovyClassLoader").getConstructor(ClassLoader)
    .newInstance(qupath.lib.objects.PathObject.classLoader)
loader.addClasspath(args[2])
def make = { name, Object... words -> loader.loadClass(name).getConstructors()[0].newInstance(words) }
def digest = { image ->
    def bytes = new ByteArrayOutputStream()
    qupath.lib.io.PathIO.writeImageData(bytes, image)
    HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes.toByteArray()))
}

def her2 = new File(args[0])
def image = getCurrentImageData()
def id = loader.loadClass("Her2Exchange").idsByEntry(her2)[getProjectEntry().getID()]
def queue = loader.loadClass("Her2ReviewQueue")
def labels = make("Her2ReviewLabels", her2, args[1])
def walk = make("Her2ReviewQueue", queue.read(her2, id), "the queue", labels.answered())
def session = make("Her2ReviewSession", image, getProject(), labels)
def cells = image.getHierarchy().getDetectionObjects().collectEntries { [(it.getID()): it] }
def before = digest(image)
image.setChanged(false)
def values = ["0", "1+", "2+", "3+", "x"]
def said = []
(0..<(args[3] as int)).each { k ->
    def item = walk.next()
    if (item == null || item.image != id)
        return
    def value = values[k % 5]
    session.answer(item, cells[item.id], value, args[4] == "blind")
    walk.setAnswered(item, true)
    said << "${item.id}=${value}"
    if (k == 3) {
        assert session.undo().id == item.id
        walk.setAnswered(item, false)
        said.removeLast()
    }
}
def during = digest(image)
if (args[4] == "undo")
    while (session.stepCount() > 0)
        session.undo()
println "SAME ${digest(image) == before} CHANGED ${during != before} MARK ${image.isChanged()} LEFT ${session.stepCount()}"
println "NUMBER ${walk.number()} OF ${walk.items.size()} ANSWERED ${walk.answeredCount()}"
println "SAID ${said.join(' ')}"
