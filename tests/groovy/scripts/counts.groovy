// Prints QuPath's own counts and H-score of each annotation of the image, and ours beside them.
import com.google.gson.GsonBuilder
import qupath.lib.gui.measure.ObservableMeasurementTableData

def image = getCurrentImageData()
def annotations = image.getHierarchy().getAnnotationObjects()
def table = new ObservableMeasurementTableData()
table.setImageData(image, annotations)
def found = annotations.collect { annotation ->
    def values = [:]
    table.getMeasurementNames().each { String name ->
        if (name.startsWith("Num ") || name.contains("H-score"))
            values[name] = table.getNumericValue(annotation, name)
    }
    [id: annotation.getID().toString(), name: annotation.getName(), qupath: values,
     ours: annotation.getMeasurements() as Map]
}
println "COUNTED " + getProjectEntry().getImageName() + " " + new GsonBuilder().serializeSpecialFloatingPointValues().create().toJson(found)
