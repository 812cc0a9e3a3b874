// Prints what *Score selection* leaves in the image.
import com.google.gson.GsonBuilder

def image = getCurrentImageData()
def hierarchy = image.getHierarchy()
println "SELECTIONS " + new GsonBuilder().serializeNulls().serializeSpecialFloatingPointValues().create().toJson([
    cells: hierarchy.getCellObjects().size(),
    regions: hierarchy.getAnnotationObjects().collectEntries { [(it.getID().toString()): [
        className: it.getPathClass()?.toString(),
        cells: it.getChildObjects().count { it.isCell() },
        measured: it.getMeasurements() as Map,
        texts: it.getMetadata() as Map]] },
    classes: hierarchy.getCellObjects().countBy { String.valueOf(it.getPathClass()) },
    properties: image.getProperties().keySet().findAll { it.startsWith("HER2") }.sort(),
    steps: image.getHistoryWorkflow().getSteps()*.getName().findAll { it.startsWith("HER2: ") },
    metadata: getProjectEntry().getMetadataMap() as Map])
