import groovy.transform.CompileStatic

/**
 * An image can have three kinds of results at once, and none replaces another: scores, from the exchange folder her2/,
 * a network's predictions, from her2/predictions/, and proposed tumour regions, from her2/proposals/. Each has its own
 * objects, metadata and properties; scores and predictions have their own measurements.
 */
@CompileStatic
class Her2ResultKind {

    private static final String PREDICTIONS = "predictions"
    private static final String PROPOSALS = "proposals"
    /** The names of all our measurements start with this. */
    static final String PREFIX = "HER2: "
    private static final List<String> PREDICTED = ["HER2: probability ", "HER2: attention", "HER2: Num patches"]
        .asImmutable()

    static final List<Her2ResultKind> ALL =
        ["", PREDICTIONS, PROPOSALS].collect { String it -> new Her2ResultKind(it) }.asImmutable()

    final boolean isPrediction
    final boolean isProposal

    private Her2ResultKind(String folder) {
        isPrediction = folder == PREDICTIONS
        isProposal = folder == PROPOSALS
    }

    /** The kind of results in a folder. */
    static Her2ResultKind of(File her2) {
        return new Her2ResultKind(her2.name)
    }

    /** The folders of the other kinds of results. */
    static List<File> others(File her2) {
        File root = root(her2)
        List<File> all = [root, predictions(root), proposals(root)]
        return all.findAll { File it -> it.name != her2.name }
    }

    /** The folder of predictions in an exchange folder. */
    static File predictions(File root) {
        return new File(root, PREDICTIONS)
    }

    /** The folder of proposed regions in an exchange folder. */
    static File proposals(File root) {
        return new File(root, PROPOSALS)
    }

    /** The exchange folder, with images.json and the regions of all kinds. */
    static File root(File her2) {
        return of(her2).isScore() ? her2 : her2.getAbsoluteFile().getParentFile()
    }

    /** Whether results of this kind are scores. */
    boolean isScore() {
        return !isPrediction && !isProposal
    }

    /** The key of an image property of this kind. */
    String property(String name) {
        return "HER2 ${isPrediction ? 'prediction ' : isProposal ? 'proposal ' : ''}$name"
    }

    /** The measurement names that are ours and of this kind; they start with "HER2: ". */
    List<String> names(List<String> all) {
        List<String> found = []
        // A proposal that was accepted keeps its measurements until it is scored.
        if (isProposal)
            return found
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
