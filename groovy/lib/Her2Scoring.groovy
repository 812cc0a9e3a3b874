import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.nio.file.AccessDeniedException
import java.util.concurrent.CancellationException
import qupath.lib.images.ImageData
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * Images of a project out of QuPath, through Python, and their results back in: each into the image that it was made
 * for, whichever is open by then.
 */
@CompileStatic
class Her2Scoring {

    /** Share of the bar that reading takes, and where writing begins. */
    private static final double READ = 0.05d
    private static final double WRITE = 0.9d
    private static final String FOLDER = "her2="
    private static final String NOTE = "Research use only."
    /** Options of `qupath-her2 run` that a script hands on. */
    private static final List<String> VALUES = ["site", "specimen", "guideline", "pixel-size-um"].asImmutable()
    private static final List<String> WORDS = ["whole-tissue", "force"].asImmutable()

    private final Project<BufferedImage> project
    private final File her2
    /** The image that a script runs for; null where there is none. */
    private final ImageData<BufferedImage> own
    private final boolean wasShown

    /** Measure the cells that are there, and give these their classes, instead of finding cells. */
    boolean inPlace = false
    /** More words for `qupath-her2 run`. */
    private final List<String> options = []
    /** The same as they were told to the script, and the exchange folder where it is not the usual one. */
    private final List<String> told = []

    private Her2Scoring(Project<BufferedImage> project, File her2, ImageData<BufferedImage> own) {
        this.project = project
        this.her2 = her2.getAbsoluteFile()
        this.own = own
        wasShown = Her2Window.shows(own)
    }

    /**
     * Scoring as a script's settings have it.
     *
     * @param own the image that the script runs for; null where there is none
     * @param folder the exchange folder; "" is the folder her2 beside the project file
     * @param words `her2=FOLDER`, which counts instead of `folder`, and what `option` knows
     */
    static Her2Scoring of(
            Project<BufferedImage> project, ImageData<BufferedImage> own, String folder, List<String> words) {
        String named = words.reverse().find { String it -> it.startsWith(FOLDER) }?.substring(FOLDER.length()) ?: folder
        Her2Scoring scoring = new Her2Scoring(project, Her2Words.exchangeFolder(project, named), own)
        if (named)
            scoring.told.add(FOLDER + scoring.her2.getPath())
        for (String word : words) {
            if (word.startsWith(FOLDER))
                continue
            List<String> option = option(word)
            if (option == null)
                throw Her2Words.unknown(word, [FOLDER + "FOLDER"] + VALUES.collect { String it -> it + "=…" } + WORDS)
            scoring.told.add(word)
            scoring.options.addAll(option)
        }
        return scoring
    }

    /** `site=gastric` or `whole-tissue` as words for the command; null for another word. */
    private static List<String> option(String word) {
        int at = word.indexOf("=")
        String name = at < 0 ? word : word.substring(0, at)
        if (at < 0 && name in WORDS)
            return ["--$name".toString()]
        return at > 0 && name in VALUES ? ["--$name".toString(), word.substring(at + 1)] : null
    }

    /**
     * Score one image, and say so in its status and in the window. Returns what its closing line says: state, image,
     * run, score, counts; and `message`, the result in a sentence.
     */
    Map<String, Object> one(ProjectImageEntry<BufferedImage> entry) {
        Map<String, Object> found = Her2Status.of(her2, inPlace ? "classify" : "score", entry.getID()) { score(entry) }
        Her2Window.refresh()
        if (wasShown)
            Her2Window.tell("HER2: ${entry.getImageName()}", (String) found.get("message"))
        return found
    }

    private Map<String, Object> score(ProjectImageEntry<BufferedImage> entry) {
        Her2Window.askAboutChanges(own == null ? [] : [own], "the results")
        try (Her2Progress progress = new Her2Progress("HER2: ${entry.getImageName()}", wasShown)) {
            Map<String, String> failed = compute([entry], progress)
            if (!failed.isEmpty())
                throw new Her2Refusal(failed.values().first())
            progress.say("Writing cells", WRITE)
            return write(entry, progress)
        }
    }

    /**
     * Score all images, each for itself, and say so in their statuses and in the window's list. Returns what became of
     * each, in order, with `reason` where it failed.
     */
    List<Map<String, Object>> all() {
        List<Map<String, Object>> found = scoreAll()
        for (Map<String, Object> words : found)
            Her2Status.done(her2, "score", (words.get("image") ?: words.get("name")).toString(), words)
        Her2Window.refresh()
        return found
    }

    private List<Map<String, Object>> scoreAll() {
        List<ProjectImageEntry<BufferedImage>> entries = project.getImageList()
        Her2Window.askAboutChanges(open().values(), "the results")
        try (Her2Progress progress = new Her2Progress("HER2: ${entries.size()} images", own == null || wasShown)) {
            Map<String, String> failed = compute(entries, progress)
            List<Map<String, Object>> found = []
            for (ProjectImageEntry<BufferedImage> entry : entries) {
                progress.say("Writing ${entry.getImageName()}", WRITE + (1 - WRITE) * found.size() / entries.size())
                String reason = failed.get(entry.getID())
                found.add(reason == null ? tryWrite(entry, progress) : fault(entry, reason))
            }
            return found
        }
    }

    private Map<String, Object> tryWrite(ProjectImageEntry<BufferedImage> entry, Her2Progress progress) {
        try {
            return write(entry, progress)
        } catch (Her2Refusal problem) {
            return fault(entry, problem.message)
        }
    }

    /** The images whose state in memory counts: one that was closed meanwhile was saved or given up by the person. */
    private Map<String, ImageData<?>> open() {
        return Her2Window.open(project, wasShown && !Her2Window.shows(own) ? null : own)
    }

    private static Map<String, Object> fault(ProjectImageEntry<BufferedImage> entry, String reason) {
        Map<String, Object> words = new LinkedHashMap<String, Object>()
        words.put("state", "failed")
        words.put("name", entry.getImageName())
        words.put("reason", reason)
        return words
    }

    /** Export and score; returns why images failed, by entry id. */
    private Map<String, String> compute(List<ProjectImageEntry<BufferedImage>> entries, Her2Progress progress) {
        progress.say("Starting Python", 0)
        Her2Python python = Her2Python.find()
        progress.say("Reading", 0.01d)
        export(entries, progress)
        Map<String, String> byImage = new LinkedHashMap<String, String>()
        Map<String, String> ids = Her2Exchange.idsByEntry(her2)
        new Her2PythonRun(python, words(entries, ids), her2).await(progress) { JsonObject event ->
            follow(event, progress, byImage)
        }
        Map<String, String> failed = new LinkedHashMap<String, String>()
        for (ProjectImageEntry<BufferedImage> entry : entries) {
            String reason = byImage.get(ids.get(entry.getID()))
            if (reason != null)
                failed.put(entry.getID(), reason)
        }
        return failed
    }

    private void export(List<ProjectImageEntry<BufferedImage>> entries, Her2Progress progress) {
        Her2Export export = new Her2Export(project, her2)
        export.withCells = inPlace
        export.open = (Map) open()
        export.cancelled = progress
        try {
            export.run(entries.collect { ProjectImageEntry<BufferedImage> it -> it.getID() })
        } catch (CancellationException ignored) {
            throw new Her2Cancelled()
        } catch (AccessDeniedException problem) {
            throw new Her2Refusal("'${problem.message}' cannot be written, so nothing was scored. Make the project's " +
                "folder writable, or copy the project.")
        }
    }

    private List<String> words(List<ProjectImageEntry<BufferedImage>> entries, Map<String, String> ids) {
        List<String> words = ["run", project.getPath().toString(), "--no-qupath", "--progress", "json"]
        words.addAll(["--out", her2.getPath()])
        words.addAll(inPlace ? ["--cells", "from-regions"] : [])
        words.addAll(options)
        if (entries.size() < project.getImageList().size())
            for (ProjectImageEntry<BufferedImage> entry : entries)
                words.addAll(["--images", ids.get(entry.getID())])
        return words
    }

    private static void follow(JsonObject event, Her2Progress progress, Map<String, String> failed) {
        Map.Entry<String, Double> shown = Her2Progress.shown(event)
        if (shown != null)
            progress.say(shown.key, READ + (WRITE - READ) * shown.value)
        if (Her2Json.text(event, "event") == "finished" && Her2Json.text(event, "state") == "failed")
            failed.put(Her2Json.text(event, "image"), Her2Json.text(event, "reason") ?: "It failed without a word.")
    }

    private Map<String, Object> write(ProjectImageEntry<BufferedImage> entry, Her2Progress progress) {
        Her2Import door = new Her2Import(project, her2)
        door.open = open()
        door.cancelled = progress
        door.step = inPlace ? "classify existing cells" : "score open image"
        door.script = Her2Import.scriptLine(inPlace ? "classify_cells.groovy" : "score_image.groovy", told)
        Map<String, Object> words = door.push(entry)
        words.put("name", entry.getImageName())
        words.put("message", sentence((String) words.get("image")))
        return words
    }

    /** The result as a sentence, e.g. `2+: 23.0 % of …`. */
    private String sentence(String image) {
        File run = Her2Exchange.currentRun(her2, image)
        if (run == null)
            return "There is no result."
        JsonObject score = Her2Json.read(new File(run, "score.json"), "Score the image again.")
        String head = Her2Json.text(score, "score") ?: "Not assessable"
        String reason = Her2Json.text(score, "reason") ?: ""
        String sentence = reason.startsWith(head) ? reason : "$head: $reason"
        return sentence.contains(NOTE) ? sentence : "$sentence $NOTE"
    }
}
