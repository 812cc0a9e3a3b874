// Prints the content of the open image.
import com.google.gson.GsonBuilder

def hierarchy = getCurrentImageData().getHierarchy()
println "SEEN " + new GsonBuilder().serializeSpecialFloatingPointValues().create().toJson([
    cells: hierarchy.getCellObjects().size(),
    tiles: hierarchy.getTileObjects().size(),
    classes: hierarchy.getCellObjects().countBy { String.valueOf(it.getPathClass()) },
    regions: hierarchy.getAnnotationObjects().collect { it.getMeasurements() as Map },
    texts: hierarchy.getAnnotationObjects().findAll { it.getMetadata() }.collect { it.getMetadata() as Map },
    steps: getCurrentImageData().getHistoryWorkflow().getSteps().collect { it.getName() },
    script: getCurrentImageData().getHistoryWorkflow().createScript(),
    metadata: getProjectEntry().getMetadataMap() as Map])
