import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.util.function.BooleanSupplier
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.objects.classes.PathClass
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * Imports results from the exchange folder into a project's images, and removes them again.
 *
 * Each method works on one image and either completes or changes nothing and throws: Her2Refusal for a problem that the
 * user can fix, or Her2Cancelled. The map it returns is the content of the closing line and of the status file.
 */
@CompileStatic
class Her2Import {

    private static final String NOTE = "Research use only."
    private static final String SCORE = "HER2 score"
    /** Used instead where the user entered a score of their own, which stays. */
    private static final String OTHER_SCORE = "HER2 score (computed)"
    private static final List<String> SCORE_KEYS =
        [SCORE, OTHER_SCORE, Her2Guidelines.KEY, "HER2 reason", "HER2 H-score", "HER2 cells", "HER2 run"].asImmutable()
    private static final List<String> PREDICTION_KEYS =
        ["HER2 predicted class", "HER2 prediction", "HER2 prediction run"].asImmutable()
    private static final String PROPOSED = "HER2 proposed regions"
    /** The runs that an image shows, by their names in an export. */
    static final Map<String, String> RUN_KEYS =
        [score_run: "HER2 run", proposal_run: "HER2 proposal run"].asImmutable()
    private static final List<String> PROPOSAL_KEYS = [PROPOSED, RUN_KEYS["proposal_run"]].asImmutable()
    /** All metadata keys that we write to an image's entry. They are results, so an export leaves them out. */
    static final List<String> KEYS = (SCORE_KEYS + PREDICTION_KEYS + PROPOSAL_KEYS).asImmutable()

    private final Project<?> project
    private final File her2
    private final Her2ResultKind kind

    /** Work out what would change, without changing anything. */
    boolean dryRun = false
    /** Also remove objects of ours whose run is gone, though they may hold edits that nothing tells of. */
    boolean replacesLost = false
    /** Save the image's data and the project; otherwise the image is changed in memory only. */
    boolean save = true
    /** Open images by entry ID: they are changed as they are in memory. Other images are read from the project. */
    Map<String, ImageData<?>> open = [:]
    /** The image's workflow step: its name, and the line that *Create script* writes for it. */
    String step = "import results"
    String script = scriptLine("import_results.groovy", [])
    /** Checked between steps; interrupting the thread cancels as well. */
    BooleanSupplier cancelled = { false } as BooleanSupplier

    Her2Import(Project<?> project, File her2) {
        this.project = project
        this.her2 = her2
        kind = Her2ResultKind.of(her2)
    }

    /** Import an image's current result; returns state (pushed, would-push, no-result), image and counts. */
    Map<String, Object> push(ProjectImageEntry<?> entry) {
        finishPending()
        JsonObject pulled = Her2Exchange.imageOfEntry(her2, entry.getID())
        String id = pulled == null ? entry.getID() : Her2Json.text(pulled, "id")
        File run = pulled == null ? null : Her2Exchange.currentRun(her2, id)
        if (run != null)
            return pushInto(entry, pulled, run)
        Map<String, Object> outcome = newOutcome("no-result", id)
        outcome.put("message", "There is no result for this image yet. Score it first, here or in a terminal.")
        return outcome
    }

    /** Import one run into the image it belongs to, whichever image is open. */
    Map<String, Object> pushRun(File run) {
        finishPending()
        String id = run.getAbsoluteFile().getParentFile()?.name
        JsonObject pulled = Her2Exchange.imageNamed(her2, id)
        ProjectImageEntry<?> entry = pulled == null ? null : entryOf(Her2Json.text(pulled, "entry_id"))
        if (entry == null)
            throw new Her2Refusal("The result in '$run' belongs to image '$id', which is not in this project. " +
                "Nothing was written. Open the project that the result was made for.")
        return pushInto(entry, pulled, run)
    }

    private void finishPending() {
        if (!dryRun && save)
            Her2PendingSave.finish(project)
    }

    private ProjectImageEntry<?> entryOf(String id) {
        for (ProjectImageEntry<?> entry : project.getImageList())
            if (entry.getID() == id)
                return entry
        return null
    }

    private Map<String, Object> pushInto(ProjectImageEntry<?> entry, JsonObject pulled, File run) {
        Her2Result result = Her2Result.read(run)
        Her2Saving saving = new Her2Saving(project, entry, open.get(entry.getID()))
        saving.checkReadable()
        new Her2ImageSize(saving.image).check(result, pulled, entry.getImageName())
        // A search that was scored replaces what was only proposed.
        Her2Import proposed = kind.isScore() && result.regions.any {
            Her2Result.Region it -> it.className == Her2Classes.PROPOSED } ? proposals() : null
        Her2Plan plan = Her2Plan.push(saving.image, her2, result, replacesLost)
        if (!dryRun) {
            Her2Transaction transaction = new Her2Transaction(plan)
            transaction.cellClasses = classes(result.cells)
            transaction.patchClasses = classes(result.patches)
            transaction.proposedClass = Her2Classes.named([Her2Classes.PROPOSED], project)[0]
            transaction.metadata = metadata(result, entry)
            transaction.step = step
            transaction.script = script
            apply(transaction, saving)
        }
        int replaced = proposed == null ? 0 : ((Number) proposed.removeKind(entry).get("removed")).intValue()
        Map<String, Object> outcome = newOutcome(dryRun ? "would-push" : "pushed", result.imageId)
        outcome.put("run", result.run)
        outcome.put("score", result.scoreText())
        outcome.putAll(plan.counts)
        outcome.put("removed", plan.counts.get("removed") + replaced)
        outcome.put("message", imported(result, plan))
        return outcome
    }

    /**
     * Remove everything of ours from an image: objects that nobody edited, measurements, classes that we gave to
     * existing cells, metadata. Returns state (`removed`, `would-remove`), image and counts.
     */
    Map<String, Object> remove(ProjectImageEntry<?> entry) {
        Map<String, Object> outcome = removeKind(entry)
        Her2Import other = kind.isScore() ? proposals() : null
        if (other == null)
            return outcome
        // Proposals are ours as well; those that the user accepted or edited stay.
        Map<String, Object> more = other.removeKind(entry)
        for (String name : ["removed", "edited"])
            outcome.put(name, ((Number) outcome.get(name)).intValue() + ((Number) more.get(name)).intValue())
        outcome.put("what", [outcome.get("what"), more.get("what")].findAll().join(" and "))
        outcome.put("message", removed(outcome))
        return outcome
    }

    /** The same for proposed regions; null where there never were any. */
    private Her2Import proposals() {
        File folder = Her2ResultKind.proposals(her2)
        if (!new File(folder, "results").isDirectory())
            return null
        Her2Import other = new Her2Import(project, folder)
        other.dryRun = dryRun
        other.save = save
        other.open = open
        other.cancelled = cancelled
        return other
    }

    private Map<String, Object> removeKind(ProjectImageEntry<?> entry) {
        finishPending()
        JsonObject pulled = new File(Her2ResultKind.root(her2), "images.json").isFile() ?
            Her2Exchange.imageOfEntry(her2, entry.getID()) : null
        String id = pulled == null ? entry.getID() : Her2Json.text(pulled, "id")
        Her2Saving saving = new Her2Saving(project, entry, open.get(entry.getID()))
        saving.checkReadable()
        Her2Plan plan = Her2Plan.removal(saving.image, her2, id)
        if (!dryRun) {
            Her2Transaction transaction = new Her2Transaction(plan)
            transaction.metadata = noMetadata(entry)
            apply(transaction, saving)
        }
        Map<String, Object> outcome = newOutcome(dryRun ? "would-remove" : "removed", id)
        for (String name : ["removed", "edited", "restored", "lost"])
            outcome.put(name, plan.counts.get(name))
        outcome.put("what", removedWords(plan, entry))
        outcome.put("message", removed(outcome))
        return outcome
    }

    /** The message after an import or a dry run. */
    private String imported(Her2Result result, Her2Plan plan) {
        Map<String, Integer> n = plan.counts
        List<String> parts = []
        if (!kind.isProposal)
            parts.add(kind.isPrediction ? "${n.get('patches') ?: 0} patches".toString() : cellsAdded(n))
        Map<String, String> others = [classified: "existing cells classified", uncounted: "left without a class",
                                      edited: "that you edited kept", removed: "objects of earlier runs removed"]
        for (Map.Entry<String, String> other : others.entrySet())
            if ((n.get(other.key) ?: 0) > 0)
                parts.add("${n.get(other.key)} ${other.value}".toString())
        String what = "${kind.isPrediction ? 'Prediction' : 'Score'} ${result.scoreText()}."
        if (kind.isProposal)
            what = Her2Json.text(result.score, "reason")
        String rest = parts.isEmpty() ? "" : " ${parts.join(', ')}."
        String note = what.contains(NOTE) ? "" : " $NOTE"
        return "${dryRun ? 'Dry run: ' : ''}$what$rest$note${keptSentences(n)}"
    }

    /** What is said of objects that stayed although they are not of the result, each on a line of its own. */
    static String keptSentences(Map<String, ?> counts) {
        List<String> said = [lostSentence((int) counts.get("lost")), coveredSentence((Integer) counts.get("covered")),
                             fieldsSentence((Integer) counts.get("fields"))]
        return said.findAll { String it -> it }.collect { String it -> "\n" + it }.join("")
    }

    /** The sentence after an import that kept objects whose run is gone; "" if it kept none. */
    static String lostSentence(int lost) {
        return lost == 0 ? "" : "$lost objects of earlier results are still in the image, and no new cell was added " +
            "in their place: the files of their result are gone, so cells that you edited cannot be told from the " +
            "others. To replace them all, score the image again and answer Yes (in scripts: replace-lost)."
    }

    /** The sentence after existing cells were left without a class because a cell that the user changed lies there. */
    static String coveredSentence(Integer covered) {
        return !covered ? "" : covered == 1 ?
            "1 existing cell has no class: a cell of HER2 that you changed lies there, and counts." :
            "$covered existing cells have no class: cells of HER2 that you changed lie there, and count."
    }

    /** The sentence after a score of the image replaced selections that were scored by themselves. */
    private static String fieldsSentence(Integer fields) {
        return !fields ? "" : "${fields == 1 ? '1 selection' : "$fields selections"} that you had scored by " +
            "${fields == 1 ? 'itself was' : 'themselves were'} replaced by this score of the image."
    }

    private static String cellsAdded(Map<String, Integer> n) {
        int added = n.get("added")
        int there = n.get("unchanged")
        return there == 0 ? "$added cells added" : added == 0 ? "$there cells already there" :
            "$added cells added, $there already there"
    }

    /** What a removal takes away, such as `493 cells and the scores`; "" for nothing. */
    private String removedWords(Her2Plan plan, ProjectImageEntry<?> entry) {
        int cells = plan.removed.count { PathObject it -> it.isCell() }.intValue()
        int patches = plan.removed.count { PathObject it -> it.isTile() }.intValue()
        List<String> parts = []
        addCount(parts, cells, "cell")
        addCount(parts, patches, "patch")
        addCount(parts, plan.removed.size() - cells - patches, kind.isProposal ? "proposed region" : "region")
        if (!plan.measured.isEmpty() || (kind.isScore() && computedScore(entry) != null))
            parts.add(kind.isPrediction ? "the predictions" : "the scores")
        return parts.join(" and ")
    }

    private static void addCount(List<String> parts, int n, String noun) {
        if (n > 0)
            parts.add("$n ${n == 1 ? noun : noun == 'patch' ? 'patches' : noun + 's'}".toString())
    }

    /** The message after a removal or a dry run. */
    private String removed(Map<String, Object> n) {
        String what = n.get("what") ?: "Nothing"
        String again = n.get("restored") == 0 ? "" :
            ", ${n.get('restored')} existing cells have their previous class again"
        String message = "${dryRun ? 'Dry run: ' : ''}$what removed, ${n.get('edited')} that you edited kept$again."
        return n.get("lost") == 0 ? message : "$message ${n.get('lost')} were kept because the folder of their run " +
            "is gone, so your edits cannot be told from the result. Delete them in QuPath if they are not needed."
    }

    private PathClass[] classes(Her2Table table) {
        return table == null ? new PathClass[0] : Her2Classes.named(table.classNames, project)
    }

    private void apply(Her2Transaction transaction, Her2Saving saving) {
        Thread caller = Thread.currentThread()
        transaction.cancelled = { cancelled.getAsBoolean() || caller.isInterrupted() } as BooleanSupplier
        transaction.saving = save ? saving : null
        transaction.run()
    }

    private static Map<String, Object> newOutcome(String state, String image) {
        Map<String, Object> outcome = new LinkedHashMap<String, Object>()
        outcome.put("state", state)
        outcome.put("image", image)
        return outcome
    }

    /** Metadata for the project browser, where images can be sorted by them. */
    private Map<String, String> metadata(Her2Result result, ProjectImageEntry<?> entry) {
        Map<String, String> found = noMetadata(entry)
        // The project shows the score of the image, never that of a part of it.
        if (kind.field != null)
            return found
        if (kind.isProposal) {
            found.put(PROPOSED, String.valueOf(result.regions.size()))
            found.put(RUN_KEYS["proposal_run"], result.run)
            return found
        }
        // A network's prediction is never shown as the score.
        if (kind.isPrediction) {
            found.put("HER2 predicted class", result.scoreText())
            found.put("HER2 prediction", reason(result))
            found.put("HER2 prediction run", result.run)
            return found
        }
        Double hScore = Her2Json.number(result.score, "h_score")
        Double cells = Her2Json.number(result.score, "n_cells")
        found.put(scoreKey(entry), result.scoreText())
        found.put(Her2Guidelines.KEY, result.guideline())
        found.put("HER2 reason", reason(result))
        found.put("HER2 H-score", hScore == null ? null : String.format(Locale.ROOT, "%.1f", hScore))
        found.put("HER2 cells", cells == null ? null : String.valueOf(cells.longValue()))
        found.put("HER2 run", result.run)
        return found
    }

    /** In the words of QuPath, whose project browser shows it. */
    private static String reason(Her2Result result) {
        return Her2Words.inQuPath(Her2Json.text(result.score, "reason"))
    }

    private static String scoreKey(ProjectImageEntry<?> entry) {
        Map<String, String> now = entry.getMetadataMap()
        boolean isUsers = now.containsKey(SCORE) && (!now.containsKey("HER2 run") || now.containsKey(OTHER_SCORE))
        return isUsers ? OTHER_SCORE : SCORE
    }

    /** The score that we gave an image, as a word such as `2+`; null if it has none of ours. */
    static String computedScore(ProjectImageEntry<?> entry) {
        Map<String, String> now = entry.getMetadataMap()
        return now.containsKey("HER2 run") ? now.get(OTHER_SCORE) ?: now.get(SCORE) : null
    }

    private Map<String, String> noMetadata(ProjectImageEntry<?> entry) {
        Map<String, String> found = new LinkedHashMap<String, String>()
        List<String> keys = kind.field != null ? Collections.<String> emptyList() :
            kind.isPrediction ? PREDICTION_KEYS : kind.isProposal ? PROPOSAL_KEYS : SCORE_KEYS
        for (String key : keys)
            if (key != SCORE || scoreKey(entry) == SCORE)
                found.put(key, null)
        return found
    }

    /** A line of Groovy that runs one of our scripts, in the folder of this library, with these arguments. */
    static String scriptLine(String name, List<String> arguments) {
        String path = quoted(new File(Her2Installation.running(), name).getPath().replace("\\", "/"))
        String listed = arguments.collect { String it -> quoted(it) }.join(", ")
        return "run(new File($path), ${arguments.isEmpty() ? 'new String[0]' : "[$listed] as String[]"})"
    }

    private static String quoted(String text) {
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    }
}
