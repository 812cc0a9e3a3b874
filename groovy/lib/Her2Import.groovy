import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.util.function.BooleanSupplier
import qupath.lib.images.ImageData
import qupath.lib.objects.classes.PathClass
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * The way back into QuPath: results of the exchange folder into a project's images, and out of them again.
 *
 * Each method works on one image and either does all of it or changes nothing and throws: Her2Refusal for what a
 * person can mend, Her2Cancelled. The map it returns is what a closing line and a status file say.
 */
@CompileStatic
class Her2Import {

    private static final String SCORE = "HER2 score"
    /** Where an image has a score that a person wrote there: it stays. */
    private static final String OTHER_SCORE = "HER2 score (computed)"
    private static final List<String> SCORE_KEYS =
        [SCORE, OTHER_SCORE, "HER2 reason", "HER2 H-score", "HER2 cells", "HER2 run"].asImmutable()
    private static final List<String> PREDICTION_KEYS =
        ["HER2 predicted class", "HER2 prediction", "HER2 prediction run"].asImmutable()
    /** All metadata that we write on an image's entry: results, which no export takes for facts about the image. */
    static final List<String> KEYS = (SCORE_KEYS + PREDICTION_KEYS).asImmutable()

    private final Project<?> project
    private final File her2
    private final Her2Layer layer

    /** Work out what would change, and change nothing. */
    boolean dryRun = false
    /** Save the image's data and the project; else the image is changed in memory only. */
    boolean save = true
    /** Images that are open, by entry id: what is seen there is what is changed. Others are read from the project. */
    Map<String, ImageData<?>> open = [:]
    /** The step of the image's workflow: its name, and what *Create script* writes for it. */
    String step = "import results"
    String script = scriptLine("import_results.groovy", [])
    /** Asked between steps; the thread that is interrupted is cancelled as well. */
    BooleanSupplier cancelled = { false } as BooleanSupplier

    Her2Import(Project<?> project, File her2) {
        this.project = project
        this.her2 = her2
        layer = Her2Layer.of(her2)
    }

    /** Put the result that counts into an image; returns state (pushed, would-push, no-result), image and counts. */
    Map<String, Object> push(ProjectImageEntry<?> entry) {
        finishPending()
        JsonObject pulled = Her2Exchange.imageOfEntry(her2, entry.getID())
        String id = pulled == null ? entry.getID() : Her2Json.text(pulled, "id")
        File run = pulled == null ? null : Her2Exchange.currentRun(her2, id)
        if (run != null)
            return pushInto(entry, pulled, run)
        Map<String, Object> words = said("no-result", id)
        words.put("message", "There is no result for this image yet. Score it first, here or in a terminal.")
        return words
    }

    /** Put one run into the image that it was made for, whichever image is open. */
    Map<String, Object> pushRun(File run) {
        finishPending()
        String id = run.getAbsoluteFile().getParentFile()?.name
        JsonObject pulled = Her2Exchange.imageNamed(her2, id)
        ProjectImageEntry<?> entry = pulled == null ? null : entryOf(Her2Json.text(pulled, "entry_id"))
        if (entry == null)
            throw new Her2Refusal("The result in '$run' is of the image '$id', which this project does not have. " +
                "Nothing was written. Open the project that it was made for.")
        return pushInto(entry, pulled, run)
    }

    private void finishPending() {
        if (!dryRun && save)
            Her2Pending.finish(project)
    }

    private ProjectImageEntry<?> entryOf(String id) {
        for (ProjectImageEntry<?> entry : project.getImageList())
            if (entry.getID() == id)
                return entry
        return null
    }

    private Map<String, Object> pushInto(ProjectImageEntry<?> entry, JsonObject pulled, File run) {
        Her2Result result = Her2Result.read(run)
        Her2Stamp stamp = new Her2Stamp(entry)
        ImageData<?> image = open.get(entry.getID()) ?: entry.readImageData()
        Her2Saving saving = new Her2Saving(project, entry, image, stamp)
        saving.checkReadable()
        new Her2Frame(image).check(result, pulled, entry.getImageName())
        Her2Plan plan = Her2Plan.push(image, her2, result)
        if (!dryRun) {
            Her2Transaction transaction = new Her2Transaction(plan)
            transaction.cellClasses = classes(result.cells)
            transaction.patchClasses = classes(result.patches)
            transaction.metadata = metadata(result, entry)
            transaction.step = step
            transaction.script = script
            transact(transaction, saving)
        }
        Map<String, Object> words = said(dryRun ? "would-push" : "pushed", result.imageId)
        words.put("run", result.run)
        words.put("score", result.scoreText())
        words.putAll(plan.counts)
        words.put("message", imported(result, plan))
        return words
    }

    /**
     * Take everything of ours out of an image: objects that nobody edited, measurements, classes that we gave to other
     * people's cells, metadata. Returns state (`removed`, `would-remove`), image and counts.
     */
    Map<String, Object> remove(ProjectImageEntry<?> entry) {
        finishPending()
        JsonObject pulled = new File(Her2Layer.root(her2), "images.json").isFile() ?
            Her2Exchange.imageOfEntry(her2, entry.getID()) : null
        String id = pulled == null ? entry.getID() : Her2Json.text(pulled, "id")
        Her2Stamp stamp = new Her2Stamp(entry)
        ImageData<?> image = open.get(entry.getID()) ?: entry.readImageData()
        Her2Saving saving = new Her2Saving(project, entry, image, stamp)
        saving.checkReadable()
        Her2Plan plan = Her2Plan.removal(image, her2, id)
        if (!dryRun) {
            Her2Transaction transaction = new Her2Transaction(plan)
            transaction.metadata = noMetadata(entry)
            transact(transaction, saving)
        }
        Map<String, Object> words = said(dryRun ? "would-remove" : "removed", id)
        for (String name : ["removed", "edited", "restored", "lost"])
            words.put(name, plan.counts.get(name))
        words.put("message", removed(plan))
        return words
    }

    /** What an import did, or would do, for people. */
    private String imported(Her2Result result, Her2Plan plan) {
        Map<String, Integer> n = plan.counts
        return "${dryRun ? 'Only tried: ' : ''}${layer.isPrediction ? 'Predicted' : 'Score'} ${result.scoreText()}. " +
            "${n.get('added')} cells added, ${n.get('classified')} given classes, ${n.get('removed')} of earlier " +
            "runs removed, ${n.get('edited')} that you changed kept. Research use only."
    }

    /** What a removal did, or would do, for people. */
    private String removed(Her2Plan plan) {
        Map<String, Integer> n = plan.counts
        String said = "${dryRun ? 'Only tried: ' : ''}${n.get('removed')} of our objects removed, ${n.get('edited')} " +
            "that you changed kept, ${n.get('restored')} of yours have their earlier class again."
        return n.get("lost") == 0 ? said : "$said ${n.get('lost')} were left as yours: the folder of the run that " +
            "made them is gone, so what you changed in them cannot be told. Delete them in QuPath if nobody needs them."
    }

    private PathClass[] classes(Her2Table table) {
        return table == null ? new PathClass[0] : Her2Classes.named(table.classNames, project)
    }

    private void transact(Her2Transaction transaction, Her2Saving saving) {
        Thread caller = Thread.currentThread()
        transaction.cancelled = { cancelled.getAsBoolean() || caller.isInterrupted() } as BooleanSupplier
        transaction.saving = save ? saving : null
        transaction.run()
    }

    private static Map<String, Object> said(String state, String image) {
        Map<String, Object> words = new LinkedHashMap<String, Object>()
        words.put("state", state)
        words.put("image", image)
        return words
    }

    /** What the project browser shows: columns that can be sorted. */
    private Map<String, String> metadata(Her2Result result, ProjectImageEntry<?> entry) {
        Map<String, String> found = noMetadata(entry)
        // What a network says never stands as the score.
        if (layer.isPrediction) {
            found.put("HER2 predicted class", result.scoreText())
            found.put("HER2 prediction", Her2Json.text(result.score, "reason"))
            found.put("HER2 prediction run", result.run)
            return found
        }
        Double hScore = Her2Json.number(result.score, "h_score")
        Double cells = Her2Json.number(result.score, "n_cells")
        found.put(scoreKey(entry), result.scoreText())
        found.put("HER2 reason", Her2Json.text(result.score, "reason"))
        found.put("HER2 H-score", hScore == null ? null : String.format(Locale.ROOT, "%.1f", hScore))
        found.put("HER2 cells", cells == null ? null : String.valueOf(cells.longValue()))
        found.put("HER2 run", result.run)
        return found
    }

    private static String scoreKey(ProjectImageEntry<?> entry) {
        Map<String, String> now = entry.getMetadataMap()
        boolean isTheirs = now.containsKey(SCORE) && (!now.containsKey("HER2 run") || now.containsKey(OTHER_SCORE))
        return isTheirs ? OTHER_SCORE : SCORE
    }

    private Map<String, String> noMetadata(ProjectImageEntry<?> entry) {
        Map<String, String> found = new LinkedHashMap<String, String>()
        for (String key : layer.isPrediction ? PREDICTION_KEYS : SCORE_KEYS)
            if (key != SCORE || scoreKey(entry) == SCORE)
                found.put(key, null)
        return found
    }

    /** A line of Groovy that runs one of our scripts, from where this library lies, with these words. */
    static String scriptLine(String name, List<String> words) {
        String path = quoted(new File(Her2Installed.running(), name).getPath().replace("\\", "/"))
        String given = words.collect { String it -> quoted(it) }.join(", ")
        return "run(new File($path), ${words.isEmpty() ? 'new String[0]' : "[$given] as String[]"})"
    }

    private static String quoted(String text) {
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    }
}
