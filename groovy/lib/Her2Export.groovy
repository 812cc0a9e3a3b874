import com.google.gson.GsonBuilder
import com.google.gson.JsonElement
import com.google.gson.JsonObject
import com.google.gson.JsonParseException
import com.google.gson.JsonParser
import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.CancellationException
import java.util.function.BooleanSupplier
import java.util.function.Consumer
import org.slf4j.LoggerFactory
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServer
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * Exports a project's images and annotations to the exchange folder (images.json, regions/). The project itself is not
 * changed, except that metadata which a killed import left unsaved are completed. The same saved state gives the same
 * bytes, from a script or from Python.
 */
@CompileStatic
class Her2Export {

    private static final int FORMAT = 1
    private static final String CORRECTIONS = ".corrections.geojson"

    private final Project<BufferedImage> project
    private final File her2
    private final boolean isMasked
    private final Map<String, JsonObject> known

    /** Also export existing cells, to measure them in place. */
    boolean withCells = false
    /** Export the regions of images that Python cannot open as OME-TIFF, instead of refusing the images. */
    boolean withPixels = false
    /** Images exported as they are in the window instead of as saved, by entry ID. */
    Map<String, ImageData<BufferedImage>> open = [:]
    /** Receives a JSON object for each finished image. */
    Consumer<String> listener
    /** Checked between images. */
    BooleanSupplier cancelled

    Her2Export(Project<BufferedImage> project, File her2) {
        this.project = project
        this.her2 = her2.getAbsoluteFile()
        // A project opened without a window ignores the preference; file names must not leak that way.
        isMasked = project.getMaskImageNames() || PathPrefs.maskImageNamesProperty().get()
        known = readKnown(new File(her2, "images.json"))
    }

    /**
     * Export all images, or those with the given entry IDs; the others keep their entries in images.json.
     * Returns the counts `images`, `regions` and `cells`, and `refused`, the reasons by image.
     */
    Map<String, Object> run(Collection<String> only = null) {
        Her2PendingSave.finish(project)
        Files.createDirectories(new File(her2, "regions").toPath())
        loadOpenSlide()
        List<Object> listed = []
        Map<String, Object> counts = [images: (Object) 0, regions: (Object) 0, cells: (Object) 0L]
        Map<String, String> refused = new TreeMap<String, String>()
        for (ProjectImageEntry<BufferedImage> entry : project.getImageList()) {
            if (only != null && !(entry.getID() in only)) {
                if (known.containsKey(entry.getID()))
                    listed.add(known[entry.getID()])
                continue
            }
            if (cancelled != null && cancelled.getAsBoolean())
                throw new CancellationException("Cancelled. images.json was not changed.")
            Map<String, Object> facts = export(entry)
            Map<String, Object> found = (Map<String, Object>) facts.remove("found")
            counts["images"] = (int) counts["images"] + 1
            counts["regions"] = (int) counts["regions"] + (int) found.get("regions", 0)
            counts["cells"] = (long) counts["cells"] + (long) found.get("cells", 0L)
            Map<String, String> refusal = (Map<String, String>) facts["refusal"]
            if (refusal != null)
                refused[facts["name"].toString() + " (" + facts["entry_id"] + ")"] = refusal["reason"]
            listed.add(facts)
            report([event: (Object) "image", name: facts["name"], image: facts["id"],
                  refused: refusal?.get("reason")] + found)
        }
        write(new File(her2, "images.json"), Her2Json.bytes([format: FORMAT, images: listed]))
        return counts + [refused: (Object) refused]
    }

    /** Export the regions of one image; returns its entry of images.json. */
    private Map<String, Object> export(ProjectImageEntry<BufferedImage> entry) {
        Her2ExportSource source = new Her2ExportSource(project, entry.getServerBuilder())
        String id = known[entry.getID()]?.get("id")?.getAsString() ?:
            Her2ExportImage.identity(entry.getID(), isMasked ? null : entry.getOriginalImageName())
        Map<String, Object> facts = new TreeMap<String, Object>(
            Her2ExportImage.facts(entry, source, her2.getParentFile(), id, isMasked))
        facts["found"] = [:]
        facts["refusal"] = null
        ImageData<BufferedImage> shown = open[entry.getID()]
        ImageServer<BufferedImage> server = null
        try {
            if (shown == null)
                server = source.connect()
            fill(facts, source, shown ?: Her2DataFile.readImage(entry, server))
        } catch (Her2Refusal problem) {
            facts["refusal"] = Her2ExportImage.refusal("not_exported", problem.message)
        } finally {
            server?.close()
        }
        if (facts["refusal"] != null)
            deleteFiles(id)
        return facts
    }

    private void fill(Map<String, Object> facts, Her2ExportSource source, ImageData<BufferedImage> data) {
        facts.putAll(Her2ExportImage.measures(data))
        facts["refusal"] = Her2ExportImage.refusalOf(data)
        if (facts["refusal"] != null)
            return
        List<PathObject> objects = Her2ExportRegions.objectsOf(data.getHierarchy())
        String reason = source.problem ?: Her2ExportPixels.unreadable(source.file)
        if (reason != null && (withPixels || hasPixels(facts)))
            facts.putAll(Her2ExportPixels.write(data.getServer(), objects, her2, facts["id"].toString()))
        else if (reason != null)
            facts["refusal"] = Her2ExportImage.refusal("not_readable", "Python cannot read the image as QuPath " +
                "shows it: ${reason}. Export its pixels with: qupath-her2 pull --pixels, or withPixels = true in " +
                "export_regions.groovy")
        if (facts["refusal"] != null)
            return
        Map<String, Object> found = [regions: (Object) objects.size()]
        write(new File(her2, "regions/${facts["id"]}.geojson"), Her2ExportRegions.bytes(objects))
        writeCorrections(data, facts["id"].toString())
        if (withCells)
            found["cells"] =
                Her2ExportCells.write(data.getHierarchy(), new File(her2, "regions/${facts["id"]}.cells.npz"))
        facts["found"] = found
    }

    /** What a person changed in the cells of our results; no file where nobody did. */
    private void writeCorrections(ImageData<BufferedImage> data, String id) {
        File file = new File(her2, "regions/${id}${CORRECTIONS}")
        byte[] corrections = Her2ExportCorrections.bytes(data, her2, id)
        if (corrections == null)
            Files.deleteIfExists(file.toPath())
        else
            write(file, corrections)
    }

    /** Whether its pixels were exported before: then they are updated together with its regions. */
    private boolean hasPixels(Map<String, Object> facts) {
        JsonObject before = known[facts["entry_id"].toString()]
        return before?.get("path")?.getAsString()?.endsWith("/images/${facts["id"]}.ome.tif")
    }

    /** Remove the files of an image that is refused now: they would describe an earlier state. */
    private void deleteFiles(String id) {
        for (String ending : [".geojson", ".cells.npz", CORRECTIONS])
            Files.deleteIfExists(new File(her2, "regions/${id}${ending}").toPath())
    }

    /** Without a window QuPath 0.5 uses OpenSlide only after something has loaded it. */
    private static void loadOpenSlide() {
        try {
            Class.forName("qupath.lib.images.servers.openslide.jna.OpenSlideLoader")
                .getMethod("tryToLoadQuietly", String[]).invoke(null, [new String[0]] as Object[])
        } catch (ReflectiveOperationException ignored) {
            LoggerFactory.getLogger("qupath-her2").debug("This QuPath has no OpenSlide")
        }
    }

    private void report(Map<String, Object> event) {
        if (listener != null)
            listener.accept(new GsonBuilder().serializeNulls().create().toJson(event))
    }

    /** Write a file in one step; a file that already has this content keeps its modification time. */
    private static void write(File file, byte[] content) {
        Path path = file.toPath()
        if (!file.isFile() || !Arrays.equals(Files.readAllBytes(path), content))
            Her2Status.replace(path, content)
    }

    /** The entries of an earlier export, by entry ID: an image keeps the folder name it was first given. */
    private static Map<String, JsonObject> readKnown(File file) {
        if (!file.isFile())
            return [:]
        try {
            JsonObject content = JsonParser.parseString(Files.readString(file.toPath())).getAsJsonObject()
            if (content.get("format").getAsInt() != FORMAT)
                throw new Her2Refusal("'${file}' has format ${content.get("format")}; this version writes ${FORMAT}. " +
                    "Update the scripts in QuPath (qupath-her2 install-scripts), or move the folder " +
                    "'${file.getParent()}' away.")
            return content.getAsJsonArray("images").collect { JsonElement image -> image.getAsJsonObject() }
                .findAll { JsonObject image -> image.has("entry_id") }
                .collectEntries { JsonObject image -> [(image.get("entry_id").getAsString()): image] }
        } catch (JsonParseException | IllegalStateException | NullPointerException problem) {
            throw new Her2Refusal("'${file}' is damaged (${problem.message}). Delete it and export again; " +
                "existing results are kept, as they are found by folder name.")
        }
    }
}
