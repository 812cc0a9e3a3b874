import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.nio.file.AccessDeniedException
import java.nio.file.FileSystemException
import java.util.concurrent.CancellationException
import java.util.function.BiConsumer
import java.util.function.BooleanSupplier
import java.util.function.Consumer
import org.slf4j.Logger
import org.slf4j.LoggerFactory
import qupath.lib.images.ImageData
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * Scores images of a project, proposes tumour regions in them or predicts them with a network: exports them, runs
 * qupath-her2 in Python, and imports each result into the image that it was made for, whichever image is open by then.
 */
@CompileStatic
class Her2Scoring {

    private static final Logger LOGGER = LoggerFactory.getLogger("qupath-her2")
    /** Fractions of the progress bar: end of exporting, start of importing. */
    private static final double EXPORTED = 0.05d
    private static final double IMPORT_FROM = 0.9d
    /** The outcome of an image that a cancelled run did not come to. */
    static final String NOT_REACHED = "not reached"
    private static final String FOLDER = "her2="
    /** Argument: objects of ours whose run is gone are replaced. */
    private static final String REPLACE = "replace-lost"
    /** Options that look beyond the drawn regions, for which a part of the pixels is not enough. */
    private static final List<String> EVERYWHERE = ["whole-tissue", "find-tumour"].asImmutable()

    private final Project<BufferedImage> project
    private final File her2
    /** The image that the script runs for; null if there is none. */
    private final ImageData<BufferedImage> own
    private final boolean wasShown
    private final Her2Verb verb
    /** The images of `scoreAll`; null where a script works on one image. */
    private final Her2Scope scope
    /** The outcome in words of images whose earlier score still counts, by image: nothing is imported into them. */
    private final Map<String, String> left = [:]
    /** Sentences on another guideline than before, by image. */
    private final Map<String, String> changed = [:]
    /** Replace objects of ours whose run is gone. */
    private boolean replacesLost = false
    /** Further arguments of the command. */
    private final List<String> options = []
    /** The arguments as given to the script, for the workflow step, with the exchange folder if it was given. */
    private final List<String> given = []

    private Her2Scoring(Project<BufferedImage> project, File her2, ImageData<BufferedImage> own, Her2Verb verb,
            Her2Scope scope) {
        this.project = project
        this.verb = verb
        this.scope = scope
        this.her2 = her2.getAbsoluteFile()
        this.own = own
        wasShown = Her2Window.isShown(own)
    }

    /**
     * Scoring with a script's settings.
     *
     * @param own the image that the script runs for; null if there is none
     * @param folder the exchange folder; "" is the folder her2 next to the project file
     * @param arguments `her2=FOLDER`, which overrides `folder`, and options such as `site=gastric`
     */
    static Her2Scoring of(
            Project<BufferedImage> project, ImageData<BufferedImage> own, String folder, List<String> arguments) {
        return made(project, own, folder, arguments, Her2Verb.SCORE)
    }

    /** The same for cells that the image already has. */
    static Her2Scoring classifying(
            Project<BufferedImage> project, ImageData<BufferedImage> own, String folder, List<String> arguments) {
        return made(project, own, folder, arguments, Her2Verb.CLASSIFY)
    }

    /** The same for proposals. */
    static Her2Scoring proposing(
            Project<BufferedImage> project, ImageData<BufferedImage> own, String folder, List<String> arguments) {
        return made(project, own, folder, arguments, Her2Verb.PROPOSE)
    }

    /** The same for several images: all, or those of a `scope=…`, `image=…` or `entry=…`. */
    static Her2Scoring ofProject(
            Project<BufferedImage> project, ImageData<BufferedImage> own, String folder, List<String> arguments) {
        return made(project, own, folder, arguments, Her2Verb.SCORE_PROJECT)
    }

    /** The same for a network's predictions: of the open image, or of a scope. */
    static Her2Scoring predicting(
            Project<BufferedImage> project, ImageData<BufferedImage> own, String folder, List<String> arguments) {
        return made(project, own, folder, arguments, Her2Verb.PREDICT)
    }

    private static Her2Scoring made(Project<BufferedImage> project, ImageData<BufferedImage> own, String folder,
            List<String> arguments, Her2Verb verb) {
        String last = arguments.reverse().find { String it -> it.startsWith(FOLDER) }
        String named = last?.substring(FOLDER.length()) ?: folder
        Her2Scope scope = verb.scope == null ? null : Her2Scope.of(arguments, verb.scope)
        Her2Scoring scoring = new Her2Scoring(project, Her2Arguments.exchangeFolder(project, named), own, verb, scope)
        if (named)
            scoring.given.add(FOLDER + scoring.her2.getPath())
        for (String word : arguments) {
            if (word.startsWith(FOLDER) || (scope != null && Her2Scope.isWord(word)))
                continue
            if (word == REPLACE) {
                scoring.given.add(word)
                scoring.replacesLost = true
                continue
            }
            List<String> option = verb.arguments(word)
            if (option == null)
                throw Her2Arguments.unknown(word, [FOLDER + "FOLDER"] + verb.known() + [REPLACE])
            scoring.given.add(word)
            scoring.options.addAll(option)
        }
        return scoring
    }

    /**
     * Score one image, write its status and show the result. Returns the content of the closing line: state, image,
     * run, score, counts; and `message`, the result as a sentence.
     */
    Map<String, Object> scoreOne(ProjectImageEntry<BufferedImage> entry) {
        Map<String, Object> found = Her2Status.record(her2, verb.status, entry.getID()) { score(entry) }
        Her2Window.refreshProject()
        if (verb.isScoring())
            Her2Window.listCellClasses(project)
        if (wasShown)
            show(entry, found)
        return found
    }

    /** Show the result: a score in full, and of everything else the sentence. */
    private void show(ProjectImageEntry<BufferedImage> entry, Map<String, Object> found) {
        File run = Her2Exchange.currentRun(verb.results(her2), (String) found.get("image"))
        String message = (String) found.get("message")
        // Where an earlier score counts on, the message is about another run than the one that was just refused.
        if (!verb.isScoring() || run == null || found.get("state") == "left")
            Her2Window.show("HER2: ${entry.getImageName()}", message)
        else
            Her2ResultBox.show(project, entry, Her2ResultText.read(run, message))
    }

    private Map<String, Object> score(ProjectImageEntry<BufferedImage> entry) {
        if (wasShown && verb.isScoring())
            Her2Window.confirmGuideline([Her2Guidelines.usedFor(entry)], Her2Guidelines.wantedBy(given))
        if (wasShown && !replacesLost)
            replacesLost = Her2Window.wantsReplacing(Her2Plan.lostIn(own, verb.results(her2), imageId(entry)))
        Her2Window.confirmSaving(own == null ? [] : [own], verb.saved())
        try (Her2Progress progress = new Her2Progress("HER2: ${entry.getImageName()}", wasShown)) {
            String failed = null
            compute([entry], progress) { String image, String reason -> failed = reason }
            if (failed != null)
                throw new Her2Refusal(failed)
            progress.show(verb.isProposing() ? "Writing regions" : "Writing cells", IMPORT_FROM)
            return importResult(entry, progress)
        }
    }

    /**
     * Score the images of the scope independently; each gets its result and status as soon as Python has finished it.
     * Returns the outcome of each in order, with `reason` if it failed. After a cancel, images that were finished keep
     * their results, and the others are `not reached`; throws Her2Cancelled where none was finished.
     */
    List<Map<String, Object>> scoreAll() {
        List<Map<String, Object>> found =
            scoreEntries(scope.choose(project, own == null ? null : project.getEntry(own)))
        if (verb.isScoring())
            Her2Window.listCellClasses(project)
        return found
    }

    private List<Map<String, Object>> scoreEntries(List<ProjectImageEntry<BufferedImage>> entries) {
        if ((own == null || wasShown) && verb.isScoring())
            Her2Window.confirmGuideline(entries.collect { ProjectImageEntry<BufferedImage> it ->
                Her2Guidelines.usedFor(it)
            }, Her2Guidelines.wantedBy(given))
        Map<String, ImageData<?>> shown = open()
        Her2Window.confirmSaving(entries.collect { ProjectImageEntry<BufferedImage> it -> shown.get(it.getID()) },
            verb.saved())
        Map<String, Map<String, Object>> found = [:]
        try (Her2Progress progress = new Her2Progress("HER2: ${entries.size()} images", own == null || wasShown)) {
            compute(entries, progress) { String image, String reason ->
                ProjectImageEntry<BufferedImage> entry = entryOf(entries, image)
                progress.show("${found.size()} of ${entries.size()} done · Writing ${entry.getImageName()}", 0)
                found.put(entry.getID(), reason == null ? importOrFail(entry) : failure(entry, reason))
                Her2Status.writeDone(her2, verb.status, image, found.get(entry.getID()))
                Her2Window.refreshProject()
            }
        } catch (Her2Cancelled cancel) {
            if (found.isEmpty())
                throw cancel
            writeReport()
        }
        return entries.collect { ProjectImageEntry<BufferedImage> it -> found.get(it.getID()) ?: notReached(it) }
    }

    private ProjectImageEntry<BufferedImage> entryOf(
            List<ProjectImageEntry<BufferedImage>> entries, String image) {
        Map<String, String> ids = Her2Exchange.idsByEntry(her2)
        return entries.find { ProjectImageEntry<BufferedImage> it -> ids.get(it.getID()) == image }
    }

    /** Import a result; one image that refuses it, or that is broken, must not stop the others. */
    private Map<String, Object> importOrFail(ProjectImageEntry<BufferedImage> entry) {
        try {
            // Once an image is finished, a cancel no longer concerns it.
            return importResult(entry, { false } as BooleanSupplier)
        } catch (Her2Cancelled interrupted) {
            throw interrupted
        } catch (Her2Refusal problem) {
            return failure(entry, problem.message)
        } catch (RuntimeException | IOException problem) {
            LOGGER.error("{}", problem.message, problem)
            return failure(entry, "QuPath: ${problem.class.simpleName}: ${problem.message}")
        }
    }

    /** Write the report of what was finished before a cancel, which ended Python before it came to it. */
    private void writeReport() {
        List<String> words = ["report", project.getPath().toString(), "--out", verb.results(her2).getPath()]
        BooleanSupplier interrupted = { Thread.currentThread().isInterrupted() } as BooleanSupplier
        try {
            new Her2PythonRun(Her2Python.find(), words, her2).await(interrupted) { JsonObject event -> }
        } catch (Her2Refusal problem) {
            // The scores are in the project; the next run writes the report.
            LOGGER.warn("The report was not updated: {}", problem.message)
        }
    }

    /** Images used as they are in memory. One that was closed meanwhile was saved or discarded by the user. */
    private Map<String, ImageData<?>> open() {
        return Her2Window.openImages(project, wasShown && !Her2Window.isShown(own) ? null : own)
    }

    private static Map<String, Object> failure(ProjectImageEntry<BufferedImage> entry, String reason) {
        Map<String, Object> outcome = new LinkedHashMap<String, Object>()
        outcome.put("state", "failed")
        outcome.put("name", entry.getImageName())
        outcome.put("reason", reason)
        return outcome
    }

    private static Map<String, Object> notReached(ProjectImageEntry<BufferedImage> entry) {
        Map<String, Object> outcome = new LinkedHashMap<String, Object>()
        outcome.put("state", NOT_REACHED)
        outcome.put("name", entry.getImageName())
        outcome.put("message", "Not reached before the cancel; it is as it was.")
        return outcome
    }

    /** Export and score; `finished` is called for each image at once, with its folder name and why it failed, if so. */
    private void compute(List<ProjectImageEntry<BufferedImage>> entries, Her2Progress progress,
            BiConsumer<String, String> finished) {
        progress.show("Starting Python", 0)
        // Before the export, which can take minutes: a missing Python is reported at once.
        Her2Python python = Her2Python.find()
        progress.show("Reading", 0.01d)
        export(entries, progress)
        Map<String, String> ids = Her2Exchange.idsByEntry(her2)
        left.clear()
        changed.clear()
        new Her2PythonRun(python, arguments(entries, ids), her2).await(progress) { JsonObject event ->
            follow(event, progress, finished)
        }
    }

    private void export(List<ProjectImageEntry<BufferedImage>> entries, Her2Progress progress) {
        Her2Export export = new Her2Export(project, her2)
        export.withCells = verb.needsCells(given)
        export.open = (Map) open()
        export.cancelled = progress
        int exported = 0
        export.listener = { String event ->
            exported++
            if (entries.size() > 1)
                progress.show("Reading: $exported of ${entries.size()} images", EXPORTED * exported / entries.size())
        } as Consumer<String>
        // Of formats and servers that only QuPath opens, the part with the drawn regions is written as OME-TIFF.
        export.withPixels = !verb.isProposing() && !given.any { String it -> it in EVERYWHERE }
        try {
            export.run(entries.collect { ProjectImageEntry<BufferedImage> it -> it.getID() })
        } catch (CancellationException ignored) {
            throw new Her2Cancelled()
        } catch (FileSystemException problem) {
            throw unwritable(problem)
        }
    }

    /** The message where the folder her2 cannot be made or written: no permission, a read-only disk, a full one. */
    static Her2Refusal unwritable(FileSystemException problem) {
        String why = problem instanceof AccessDeniedException ? "no permission" :
            problem.reason ?: "the folder is gone"
        return new Her2Refusal("'${problem.file}' cannot be written ($why), so nothing was done. Make the " +
            "project's folder writable, or copy the project to a disk that is: results lie beside the project file.")
    }

    private List<String> arguments(List<ProjectImageEntry<BufferedImage>> entries, Map<String, String> ids) {
        List<String> found = [verb.command, project.getPath().toString(), "--no-qupath", "--progress", "json"]
        found.addAll(["--out", her2.getPath()])
        found.addAll(verb.fixedArguments(given))
        found.addAll(options)
        // All images are the default; naming hundreds of them could exceed the length limit of a command line.
        if (entries.size() < project.getImageList().size())
            for (ProjectImageEntry<BufferedImage> entry : entries)
                found.addAll(["--images", ids.get(entry.getID())])
        return found
    }

    private void follow(JsonObject event, Her2Progress progress, BiConsumer<String, String> finished) {
        Map.Entry<String, Double> shown = Her2Progress.messageOf(event)
        // Of several images, each is imported while the next one is scored.
        double end = scope == null ? IMPORT_FROM : 1
        if (shown != null)
            progress.show(shown.key, EXPORTED + (end - EXPORTED) * shown.value)
        if (Her2Json.text(event, "event") != "finished")
            return
        String image = Her2Json.text(event, "image")
        String reason = Her2Json.text(event, "reason")
        String earlier = Her2Json.text(event, "earlier")
        boolean isFailed = Her2Json.text(event, "state") == "failed"
        if (!isFailed && Her2Json.text(event, "is_current") == "false")
            left.put(image, "$reason\n$earlier".toString())
        else if (!isFailed && earlier)
            changed.put(image, earlier)
        finished.accept(image, isFailed ? reason ?: "It failed without a message." : null)
    }

    private Map<String, Object> importResult(ProjectImageEntry<BufferedImage> entry, BooleanSupplier cancelled) {
        String image = Her2Exchange.idsByEntry(her2).get(entry.getID())
        if (left.containsKey(image))
            return leftAsItWas(entry, image)
        Her2Import importer = new Her2Import(project, verb.results(her2))
        importer.open = open()
        importer.replacesLost = replacesLost
        importer.cancelled = cancelled
        importer.step = verb.step
        importer.script = Her2Import.scriptLine(verb.script, given)
        Map<String, Object> outcome = importer.push(entry)
        outcome.put("name", entry.getImageName())
        // The import of a prediction says what a network found; a score says why it is one.
        if (!verb.is(Her2Verb.PREDICT))
            outcome.put("message", sentence((String) outcome.get("image")) + Her2Import.keptSentences(outcome))
        outcome.putAll(verb.figures(entry))
        return outcome
    }

    private Map<String, Object> leftAsItWas(ProjectImageEntry<BufferedImage> entry, String image) {
        Map<String, Object> outcome = new LinkedHashMap<String, Object>()
        outcome.put("state", "left")
        outcome.put("image", image)
        outcome.put("name", entry.getImageName())
        outcome.put("message", left.get(image))
        return outcome
    }

    /** The image's folder name in the exchange folder; its entry ID if it was never exported, so that it has no run. */
    private String imageId(ProjectImageEntry<BufferedImage> entry) {
        boolean isKnown = new File(her2, "images.json").isFile()
        return (isKnown ? Her2Exchange.idsByEntry(her2).get(entry.getID()) : null) ?: entry.getID()
    }

    private String sentence(String image) {
        File run = Her2Exchange.currentRun(verb.results(her2), image)
        return run == null ? "There is no result." : Her2ResultText.sentence(run, changed.get(image))
    }
}
