import groovy.transform.CompileStatic

/**
 * An image can have two kinds of results at once, and neither replaces the other: scores, from the exchange folder
 * her2/, and a network's predictions, from her2/predictions/. Each has its own objects, metadata, properties and
 * measurements.
 */
@CompileStatic
class Her2ResultKind {

    private static final String FOLDER = "predictions"
    /** The names of all our measurements start with this. */
    static final String PREFIX = "HER2: "
    private static final List<String> PREDICTED = ["HER2: probability ", "HER2: Num patches"].asImmutable()

    static final List<Her2ResultKind> ALL = [new Her2ResultKind(false), new Her2ResultKind(true)].asImmutable()

    final boolean isPrediction

    private Her2ResultKind(boolean isPrediction) {
        this.isPrediction = isPrediction
    }

    /** The kind of results in a folder. */
    static Her2ResultKind of(File her2) {
        return new Her2ResultKind(her2.name == FOLDER)
    }

    /** The folder of the other kind of results. */
    static File other(File her2) {
        return of(her2).isPrediction ? root(her2) : new File(her2, FOLDER)
    }

    /** The exchange folder, with images.json and the regions of both kinds. */
    static File root(File her2) {
        return of(her2).isPrediction ? her2.getAbsoluteFile().getParentFile() : her2
    }

    /** The key of an image property of this kind. */
    String property(String name) {
        return "HER2 ${isPrediction ? 'prediction ' : ''}$name"
    }

    /** The measurement names that are ours and of this kind; they start with "HER2: ". */
    List<String> names(List<String> all) {
        List<String> found = []
        for (String name : all)
            if (name.startsWith(PREFIX) && isPrediction == isPredicted(name))
                found.add(name)
        return found
    }

    private static boolean isPredicted(String name) {
        for (String start : PREDICTED)
            if (name.startsWith(start))
                return true
        return false
    }
}
