// Does what a person does in a review: reclassifies cells (args[0] of them) and deletes others (args[1]).
import qupath.lib.objects.classes.PathClass

def hierarchy = getCurrentImageData().getHierarchy()
def names = ["Tumor: Negative", "Tumor: 1+", "Tumor: 2+", "Tumor: 3+"]
def cells = hierarchy.getCellObjects().sort { [it.getROI().getCentroidY(), it.getROI().getCentroidX()] }
int changed = args[0] as int
int deleted = args[1] as int
// Spread over the field, the changed ones and the deleted ones apart.
def at = { int k -> cells[(int) (cells.size() * (k + 0.5d) / (changed + deleted))] }
(0..<changed).each { int k ->
    def cell = at(k)
    def next = names[(names.indexOf(cell.getPathClass().toString()) + 1) % 4]
    cell.setPathClass(PathClass.fromString(next, null))
}
hierarchy.removeObjects((changed..<(changed + deleted)).collect { int k -> at(k) }, true)
hierarchy.fireHierarchyChangedEvent(this)
println "CORRECTED ${changed} ${deleted}"
