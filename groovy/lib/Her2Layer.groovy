import groovy.transform.CompileStatic

/**
 * Two kinds of results lie in an image side by side and neither replaces the other: scores, of the exchange folder
 * her2/, and what a network predicts, of her2/predictions/. Each has its own objects, metadata, memory and
 * measurements.
 */
@CompileStatic
class Her2Layer {

    private static final String FOLDER = "predictions"
    /** How the names of all measurements of ours begin. */
    static final String PREFIX = "HER2: "
    private static final List<String> PREDICTED = ["HER2: probability ", "HER2: Num patches"].asImmutable()

    static final List<Her2Layer> ALL = [new Her2Layer(false), new Her2Layer(true)].asImmutable()

    final boolean isPrediction

    private Her2Layer(boolean isPrediction) {
        this.isPrediction = isPrediction
    }

    /** The kind of results that a folder holds. */
    static Her2Layer of(File her2) {
        return new Her2Layer(her2.name == FOLDER)
    }

    /** The folder of the results of the other kind. */
    static File other(File her2) {
        return of(her2).isPrediction ? root(her2) : new File(her2, FOLDER)
    }

    /** Where the images and regions of both kinds are described. */
    static File root(File her2) {
        return of(her2).isPrediction ? her2.getAbsoluteFile().getParentFile() : her2
    }

    /** What the image remembers of a result of this kind goes by this name among its properties. */
    String property(String name) {
        return "HER2 ${isPrediction ? 'prediction ' : ''}$name"
    }

    /** Those of the names of measurements that are ours and of this kind; they begin with "HER2: ". */
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
