// Decides on annotations as a person would: forget removes all, accept takes each proposal for tumour.
import qupath.lib.objects.classes.PathClass
import static qupath.lib.scripting.QP.*

def drawn = getAnnotationObjects()
if (args[0] == "forget")
    removeObjects(drawn, false)
else
    drawn.findAll { it.getPathClass()?.toString() == "Tumor?" }.each { it.setPathClass(PathClass.fromString("Tumor", null)) }
getProjectEntry().saveImageData(getCurrentImageData())
println "DECIDED ${drawn.size()}"
