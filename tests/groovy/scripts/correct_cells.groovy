// Does what a person does in a review: reclassifies cells (args[0] of them), deletes others (args[1]), and edits the
// outlines of further ones (args[2], none if it is missing): half of them grow, the others move by their own width.
// Cells without a class stay as they are.
import qupath.lib.objects.classes.PathClass

def hierarchy = getCurrentImageData().getHierarchy()
def names = ["Tumor: Negative", "Tumor: 1+", "Tumor: 2+", "Tumor: 3+"]
def cells = hierarchy.getCellObjects().findAll { it.getPathClass() != null }.sort { [it.getROI().getCentroidY(), it.getROI().getCentroidX()] }
int changed = args[0] as int
int deleted = args[1] as int
int reshaped = args.length > 2 ? args[2] as int : 0
// Spread over the field, the changed ones and the deleted ones apart.
def at = { int k -> cells[(int) (cells.size() * (k + 0.5d) / (changed + deleted + reshaped))] }
def edited = (0..<reshaped).collect { int k -> at(changed + deleted + k) }
(0..<changed).each { int k ->
    def cell = at(k)
    def next = names[(names.indexOf(cell.getPathClass().toString()) + 1) % 4]
    cell.setPathClass(PathClass.fromString(next, null))
}
edited.eachWithIndex { cell, int k ->
    def roi = cell.getROI()
    cell.setROI(k % 2 == 0 ? roi.scale(1.3, 1.3, roi.getCentroidX(), roi.getCentroidY()) :
        roi.translate(roi.getBoundsWidth(), 0))
}
hierarchy.removeObjects((changed..<(changed + deleted)).collect { int k -> at(k) }, true)
hierarchy.fireHierarchyChangedEvent(this)
println "CORRECTED ${changed} ${deleted} ${reshaped}"
