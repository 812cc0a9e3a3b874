import groovy.transform.CompileStatic
import java.util.regex.Pattern

/**
 * An image can have several kinds of results at once: scores, from the exchange folder her2/, a network's predictions,
 * from her2/predictions/, proposed tumour regions, from her2/proposals/, and annotations that were scored by themselves
 * (*Score selection*), each from her2/fields/<UUID of the annotation>/. Each has its own objects and properties, scores
 * and predictions have their own measurements, and all but fields have metadata of the image.
 *
 * None replaces another, but for one case: a score of the image replaces all its fields. It is made of the same cells,
 * so that they would lie twice in the image, and two scores of different regions would stand on one annotation.
 */
@CompileStatic
class Her2ResultKind {

    private static final String PREDICTIONS = "predictions"
    private static final String PROPOSALS = "proposals"
    private static final String FIELDS = "fields"
    private static final String FIELD_PROPERTY = "HER2 field "
    private static final Pattern ID = Pattern.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    /** The names of all our measurements start with this. */
    static final String PREFIX = "HER2: "
    private static final List<String> PREDICTED = ["HER2: probability ", "HER2: attention", "HER2: Num patches"]
        .asImmutable()

    static final List<Her2ResultKind> ALL =
        ["", PREDICTIONS, PROPOSALS].collect { String it -> new Her2ResultKind(it, null) }.asImmutable()

    final boolean isPrediction
    final boolean isProposal
    /** The annotation that was scored by itself; null for results of a whole image. */
    final UUID field

    private Her2ResultKind(String folder, UUID field) {
        isPrediction = folder == PREDICTIONS
        isProposal = folder == PROPOSALS
        this.field = field
    }

    /** The kind of results in a folder. */
    static Her2ResultKind of(File her2) {
        boolean isField = her2.getAbsoluteFile().getParentFile()?.name == FIELDS && ID.matcher(her2.name).matches()
        return isField ? ofField(UUID.fromString(her2.name)) : new Her2ResultKind(her2.name, null)
    }

    /** The kind of the results of an annotation that is scored by itself. */
    static Her2ResultKind ofField(UUID annotation) {
        return new Her2ResultKind(FIELDS, annotation)
    }

    /** The folders of the other kinds of results. */
    static List<File> others(File her2) {
        File root = root(her2)
        List<File> all = [root, predictions(root), proposals(root)] + fields(root)
        return all.findAll { File it -> it.getAbsoluteFile() != her2.getAbsoluteFile() }
    }

    /** The folder of an annotation that is scored by itself. */
    static File field(File root, UUID annotation) {
        return new File(new File(root, FIELDS), annotation.toString())
    }

    /** The folders of all annotations that were scored by themselves, in a fixed order. */
    static List<File> fields(File root) {
        String[] found = new File(root, FIELDS).list() ?: new String[0]
        Arrays.sort(found)
        return found.findAll { String it -> ID.matcher(it).matches() }
            .collect { String it -> field(root, UUID.fromString(it)) }
    }

    /** The annotation whose field an image property belongs to; null for other properties. */
    static UUID fieldOf(String property) {
        String rest = property.startsWith(FIELD_PROPERTY) ? property.substring(FIELD_PROPERTY.length()) : ""
        String id = rest.tokenize(" ").find()
        return id != null && ID.matcher(id).matches() ? UUID.fromString(id) : null
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
        Her2ResultKind kind = of(her2)
        File parent = her2.getAbsoluteFile().getParentFile()
        return kind.isScore() ? her2 : kind.field == null ? parent : parent.getParentFile()
    }

    /** Whether results of this kind are scores of images. */
    boolean isScore() {
        return !isPrediction && !isProposal && field == null
    }

    /** Whether results of this kind are scores, of images or of single annotations. */
    boolean hasScores() {
        return !isPrediction && !isProposal
    }

    /** The key of an image property of this kind. */
    String property(String name) {
        if (field != null)
            return FIELD_PROPERTY + "$field $name"
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
