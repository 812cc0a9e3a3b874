import groovy.transform.CompileStatic
import qupath.lib.projects.ProjectImageEntry

/**
 * What Python is asked to do with images, as a verb of qupath-her2: score them, classify the cells that they have,
 * propose regions, or predict with a network. It also says how the user and the image's workflow call it.
 */
@CompileStatic
class Her2Verb {

    private static final String WORKERS = "workers"
    private static final List<String> RULES = ["site", "specimen", "guideline"].asImmutable()

    static final Her2Verb SCORE = new Her2Verb("run", "score", "score open image", "score_image.groovy",
        RULES + ["cells", "pixel-size-um", "profile", WORKERS], ["whole-tissue", "find-tumour", "force"])
    /** The same for several images; each gets the workflow step that scores it alone. */
    static final Her2Verb SCORE_PROJECT = new Her2Verb(SCORE, Her2Scope.ALL)
    static final Her2Verb CLASSIFY = new Her2Verb("run", "classify", "classify existing cells",
        "classify_cells.groovy", RULES + ["pixel-size-um", WORKERS],
        ["whole-tissue", "find-tumour", "force"])
    /** An annotation alone: what is drawn elsewhere does not matter, so that nothing is searched for. */
    static final Her2Verb SELECTION = new Her2Verb("run", "selection", Her2Transaction.FIELD_STEP,
        "score_selection.groovy", RULES + ["cells", "pixel-size-um", "profile"], [])
    static final Her2Verb PROPOSE = new Her2Verb("propose", "propose", "propose tumour regions",
        "propose_regions.groovy", ["pixel-size-um", WORKERS], ["force"])
    static final Her2Verb PREDICT = new Her2Verb(new Her2Verb("predict", "predict", "predict with a network",
        "predict_images.groovy", ["model", "pixel-size-um"], ["cam", "whole-tissue", "force"]), Her2Scope.OPEN)

    /** The verb on the command line. */
    final String command
    /** The folder of its outcomes in her2/status. */
    final String status
    /** The name of the workflow step, and the script that it runs. */
    final String step
    final String script
    /** Options passed on to Python: with a value, and without. */
    final List<String> options
    final List<String> flags
    /** The scope where a script names none; null where it works on one image only. */
    final String scope

    private Her2Verb(String command, String status, String step, String script, List<String> options,
            List<String> flags) {
        this.command = command
        this.status = status
        this.step = step
        this.script = script
        this.options = options.asImmutable()
        this.flags = flags.asImmutable()
        this.scope = null
    }

    private Her2Verb(Her2Verb other, String scope) {
        command = other.command
        status = other.status
        step = other.step
        script = other.script
        options = other.options
        flags = other.flags
        this.scope = scope
    }

    boolean isProposing() {
        return this.is(PROPOSE)
    }

    /** Whether it gives a score by a guideline. */
    boolean isScoring() {
        return command == "run"
    }

    /** Whether these options of a script need the image's own cells. */
    boolean needsCells(List<String> given) {
        return this.is(CLASSIFY) || given.contains("cells=from-regions")
    }

    /** What is saved together with the user's own changes. */
    String saved() {
        return isProposing() ? "the proposals" : this.is(PREDICT) ? "the prediction" : "the results"
    }

    /** The kind of results that it makes, as a folder of the exchange folder. */
    File results(File her2) {
        return isProposing() ? Her2ResultKind.proposals(her2) :
            this.is(PREDICT) ? Her2ResultKind.predictions(her2) : her2
    }

    /** Figures of a score that the import has put into an entry's metadata: `h_score` and `cells`, where known. */
    Map<String, Object> figures(ProjectImageEntry<?> entry) {
        Map<String, Object> found = new LinkedHashMap<String, Object>()
        if (!isScoring())
            return found
        Map<String, String> metadata = entry.getMetadataMap()
        for (Map.Entry<String, String> item : [h_score: "HER2 H-score", cells: "HER2 cells"].entrySet())
            if (metadata.containsKey(item.value))
                found.put(item.key, metadata.get(item.value))
        return found
    }

    /** Arguments of the command besides those that a script gives; without its `workers`, Python asks the machine. */
    List<String> fixedArguments(List<String> given) {
        List<String> found = this.is(CLASSIFY) ? ["--cells", "from-regions"] : []
        boolean isCounted = given.any { String it -> it.startsWith(WORKERS + "=") }
        return WORKERS in options && !isCounted ? found + ["--workers", "auto"] : found
    }

    /** `site=gastric` or `whole-tissue` as arguments of the command; null if it does not take them. */
    List<String> arguments(String word) {
        int at = word.indexOf("=")
        String name = at < 0 ? word : word.substring(0, at)
        if (at < 0 && name in flags)
            return ["--$name".toString()]
        return at > 0 && name in options ? ["--$name".toString(), word.substring(at + 1)] : null
    }

    /** Everything that it takes, for the message about an argument that it does not. */
    List<String> known() {
        return (scope == null ? [] : Her2Scope.known()) + options.collect { String it -> it + "=…" } + flags
    }
}
