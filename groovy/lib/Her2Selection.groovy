import groovy.transform.CompileStatic
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject

/**
 * Selects HER2 cells by their staining: those that decide the score, or those of one pattern or intensity. The codes
 * are those of qupath_her2/cells/staining_columns.py.
 */
@CompileStatic
class Her2Selection {

    private static final String DECIDING = "HER2: Deciding cell"
    private static final String PATTERN = "HER2: Membrane pattern"
    private static final String INTENSITY = "HER2: Membrane intensity"

    /** What can be selected: its name, the measurement, and its value. */
    private static final Map<String, Map.Entry<String, Double>> CHOICES = [
        "Deciding cells"                   : Map.entry(DECIDING, 1.0d),
        "Pattern: complete"                : Map.entry(PATTERN, 3.0d),
        "Pattern: lateral or basolateral"  : Map.entry(PATTERN, 2.0d),
        "Pattern: incomplete"              : Map.entry(PATTERN, 1.0d),
        "Pattern: none"                    : Map.entry(PATTERN, 0.0d),
        "Intensity: intense"               : Map.entry(INTENSITY, 3.0d),
        "Intensity: moderate"              : Map.entry(INTENSITY, 2.0d),
        "Intensity: faint"                 : Map.entry(INTENSITY, 1.0d),
        "Intensity: none"                  : Map.entry(INTENSITY, 0.0d),
    ].asImmutable()

    static final String DECIDING_CELLS = "Deciding cells"

    /** The names of all choices. */
    static List<String> choices() {
        return new ArrayList<String>(CHOICES.keySet())
    }

    /** Select cells of an image; returns how many. Throws Her2Refusal if its cells have no such measurement. */
    static int select(ImageData<?> image, String choice) {
        Map.Entry<String, Double> wanted = CHOICES.get(choice)
        if (wanted == null)
            throw Her2Arguments.unknown(choice, choices())
        List<PathObject> found = []
        boolean isKnown = false
        for (PathObject cell : image.getHierarchy().getDetectionObjects()) {
            Number value = cell.getMeasurements().get(wanted.key)
            isKnown |= value != null
            if (value != null && value.doubleValue() == wanted.value)
                found.add(cell)
        }
        if (!isKnown)
            throw new Her2Refusal("No cell of this image has the measurement '${wanted.key}'. " +
                "Score the image first: Extensions > HER2 > Score open image.")
        image.getHierarchy().getSelectionModel().setSelectedObjects(found, null)
        return found.size()
    }
}
