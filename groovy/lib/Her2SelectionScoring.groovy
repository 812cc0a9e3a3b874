import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.nio.file.FileSystemException
import java.util.function.BooleanSupplier
import org.slf4j.Logger
import org.slf4j.LoggerFactory
import qupath.lib.images.ImageData
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * Scores one annotation of the open image, whatever its class: by the service, which answers in about a second, or by a
 * Python of its own where there is none. Both score it as a run of the image would with this annotation as its only
 * tumour region; regions that take points from it, such as carcinoma in situ, still do, and of one across drawn tumour,
 * only the tumour in it is scored, as in a TMA core: a rectangle holds stroma too.
 *
 * The result is that of the annotation alone, and the project shows no score of the image for it: see Her2ResultKind
 * for its place, and Her2SelectedRegion for selections that are refused.
 */
@CompileStatic
class Her2SelectionScoring {

    private static final Logger LOGGER = LoggerFactory.getLogger("qupath-her2")
    private static final Her2Verb VERB = Her2Verb.SELECTION
    private static final double IMPORT_FROM = 0.9d
    private static final String ANNOTATION = "annotation="
    private static final String FOLDER = "her2="
    private static final String CELLS = "cells="
    private static final String FROM_IMAGE = "cells=from-regions"
    private static final String NOT_FROM_IMAGE = "HER2 detected these cells: Score selection does not use cells that " +
        "the image has. Those are classified by Extensions > HER2 > Cells > Classify existing cells."

    private final Project<BufferedImage> project
    private final ProjectImageEntry<BufferedImage> entry
    private final ImageData<BufferedImage> image
    private final File her2
    private final boolean isShown
    private final Her2SelectedRegion selected
    /** The options as given, such as `site=gastric`, and as arguments of the command. */
    private final List<String> given = []
    private final List<String> options = []
    /** Sentences on how it was done, after the result. */
    private final List<String> notes = []

    /**
     * @param folder the exchange folder; "" is the folder her2 next to the project file
     * @param words `her2=FOLDER`, `annotation=UUID` (without it, the selected one), and options
     */
    Her2SelectionScoring(Project<BufferedImage> project, ImageData<BufferedImage> image, String folder,
            List<String> words) {
        this.project = project
        this.image = image
        entry = project.getEntry(image)
        isShown = Her2Window.isShown(image)
        String named = folder
        String id = null
        for (String word : words) {
            if (word.startsWith(FOLDER))
                named = word.substring(FOLDER.length())
            else if (word.startsWith(ANNOTATION))
                id = word.substring(ANNOTATION.length())
            else
                addOption(word)
        }
        her2 = Her2Arguments.exchangeFolder(project, named).getAbsoluteFile()
        if (named)
            given.add(FOLDER + her2.getPath())
        selected = Her2SelectedRegion.of(image, her2, id)
    }

    private void addOption(String word) {
        if (word == FROM_IMAGE) {
            notes.add(NOT_FROM_IMAGE)
            return
        }
        List<String> option = VERB.arguments(word)
        if (option == null)
            throw Her2Arguments.unknown(word, [FOLDER + "FOLDER", ANNOTATION + "UUID"] + VERB.known())
        given.add(word)
        options.addAll(option)
    }

    /** Score the annotation, write its status and show the result; returns the content of the closing line. */
    Map<String, Object> score() {
        return Her2Status.record(her2, VERB.status, entry.getID()) { scoreAndShow() }
    }

    private Map<String, Object> scoreAndShow() {
        Her2Window.confirmSaving([image], VERB.saved())
        Map<String, Object> found
        File run
        try (Her2Progress progress = new Her2Progress("HER2: selection", isShown)) {
            progress.show("Reading", 0.02d)
            String imageId = export()
            selected.checkFree(imageId)
            run = measured(imageId, progress)
            progress.show("Writing cells", IMPORT_FROM)
            found = importRun(run, progress)
        }
        Her2Window.listCellClasses(project)
        String message = ([(String) found.get("message")] + notes).join("\n")
        found.put("message", message)
        if (isShown)
            Her2ResultBox.show(project, entry, Her2ResultText.readSelection(run, message))
        return found
    }

    /** Write what Python needs to know of the image, as it is in the window; returns its name in her2. */
    private String export() {
        Her2Export export = new Her2Export(project, her2)
        export.open = [(entry.getID()): image]
        try {
            export.run([entry.getID()])
        } catch (FileSystemException problem) {
            throw Her2Scoring.unwritable(problem)
        }
        JsonObject exported = Her2Exchange.imageOfEntry(her2, entry.getID())
        JsonObject refusal = Her2Json.object(exported, "refusal")
        if (Her2Json.text(refusal, "code") == "not_readable")
            throw new Her2Refusal("Python cannot read this image by itself, so a selection of it cannot be scored at " +
                "once. Set the class of the annotation to Tumor (right-click > Set classification > Tumor), then " +
                "choose Extensions > HER2 > Score open image, which hands over the pixels.")
        if (Her2Json.text(refusal, "reason") != null)
            throw new Her2Refusal("The selection cannot be scored: ${Her2Json.text(refusal, 'reason')}.")
        return Her2Json.text(exported, "id")
    }

    /** The finished run of the annotation. */
    private File measured(String imageId, Her2Progress progress) {
        double area = selected.region.getROI().getArea()
        if (area > Her2Service.MOST_AREA_PX2) {
            notes.add("So large a selection takes longer than a second: it was scored as an image is.")
            return byOwnPython(imageId, progress)
        }
        Map<String, Object> field = [project: (Object) her2.getPath(), image: imageId,
                                     region : selected.region.getID().toString(), options: requestOptions()]
        File results = Her2Exchange.resultsOf(folder(), imageId)
        try {
            return new Her2WarmService(folders(), progress).score(field, results)
        } catch (Her2NoService problem) {
            LOGGER.warn("No service: {}", problem.message)
            notes.add("${problem.message} This selection was scored by a Python of its own, which takes longer."
                .toString())
            return byOwnPython(imageId, progress)
        }
    }

    private File folder() {
        return Her2ResultKind.field(her2, selected.region.getID())
    }

    /** The folders of the project and of its images, those of this image first. */
    private List<File> folders() {
        Set<File> found = new LinkedHashSet<File>([her2.getParentFile(), project.getPath().getParent().toFile()])
        List<ProjectImageEntry<BufferedImage>> entries = [entry] + project.getImageList()
        for (ProjectImageEntry<BufferedImage> one : entries)
            for (URI uri : one.getURIs())
                if (uri.getScheme() == "file")
                    // Of a link, the folder of the file that it leads to.
                    found.addAll([new File(uri).getParentFile(), new File(uri).getCanonicalFile().getParentFile()])
        return new ArrayList<File>(found)
    }

    /** The options as a request names them. */
    private Map<String, Object> requestOptions() {
        Map<String, Object> found = [:]
        for (String word : given) {
            int at = word.indexOf("=")
            String name = word.substring(0, at).replace("-", "_")
            String value = word.substring(at + 1)
            if (word.startsWith(CELLS))
                found.put("cell_finder", value)
            else if (name == "pixel_size_um")
                found.put(name, Double.valueOf(value))
            else if (!word.startsWith(FOLDER))
                found.put(name, value)
        }
        return found
    }

    private File byOwnPython(String imageId, Her2Progress progress) {
        progress.show("Starting Python", 0.1d)
        List<String> words = [VERB.command, project.getPath().toString(), "--no-qupath", "--progress", "json", "--out",
                              her2.getPath(), "--images", imageId, "--region", selected.region.getID().toString()]
        String failed = null
        new Her2PythonRun(Her2Python.find(), words + options, her2).await(progress) { JsonObject event ->
            Map.Entry<String, Double> shown = Her2Progress.messageOf(event)
            if (shown != null)
                progress.show(shown.key, 0.1d + (IMPORT_FROM - 0.1d) * shown.value)
            if (Her2Json.text(event, "event") == "finished" && Her2Json.text(event, "state") == "failed")
                failed = Her2Json.text(event, "reason") ?: "It failed without a message."
        }
        if (failed != null)
            throw new Her2Refusal(failed)
        return Her2Exchange.currentRun(folder(), imageId)
    }

    private Map<String, Object> importRun(File run, BooleanSupplier cancelled) {
        Her2Import importer = new Her2Import(project, folder())
        importer.open = (Map) [(entry.getID()): image]
        importer.cancelled = cancelled
        importer.step = VERB.step
        importer.script = Her2Import.scriptLine(VERB.script,
            given + [ANNOTATION + selected.region.getID().toString()])
        Map<String, Object> outcome = importer.pushRun(run)
        outcome.put("name", entry.getImageName())
        outcome.put("annotation", selected.region.getID().toString())
        outcome.put("message", Her2ResultText.sentence(run, null) + Her2Import.keptSentences(outcome))
        return outcome
    }
}
