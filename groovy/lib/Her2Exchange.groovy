import com.google.gson.JsonElement
import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.util.regex.Pattern

/**
 * The layout of the exchange folder her2/, as defined in qupath_her2/project/exchange/.
 */
@CompileStatic
class Her2Exchange {

    private static final Pattern IMAGE = Pattern.compile("[0-9A-Za-z][0-9A-Za-z_\\-]{0,80}")
    private static final Pattern RUN = Pattern.compile("[0-9a-f]{11}(-[0-9]+)?")
    private static final String PULL = "Export the project's regions (export_regions.groovy, or qupath-her2 pull) " +
        "and score it."

    /** The entry of images.json with this QuPath entry ID; null if the image was never exported. */
    static JsonObject imageOfEntry(File her2, String entryId) {
        for (JsonObject image : images(her2))
            if (Her2Json.text(image, "entry_id") == entryId)
                return image
        return null
    }

    /** The entry of images.json with this folder name; null if there is none. */
    static JsonObject imageNamed(File her2, String id) {
        for (JsonObject image : images(her2))
            if (Her2Json.text(image, "id") == id)
                return image
        return null
    }

    /** Folder names of all exported images, by entry ID. */
    static Map<String, String> idsByEntry(File her2) {
        Map<String, String> found = new HashMap<String, String>()
        for (JsonObject image : images(her2))
            found.put(Her2Json.text(image, "entry_id"), Her2Json.text(image, "id"))
        return found
    }

    private static List<JsonObject> images(File her2) {
        File file = new File(Her2ResultKind.root(her2), "images.json")
        if (!file.isFile())
            throw new Her2Refusal("'$file' does not exist. $PULL")
        JsonObject content = Her2Json.read(file, PULL)
        Her2Json.checkFormat(content, file, PULL)
        List<JsonObject> found = []
        for (JsonElement image : Her2Json.array(content, "images"))
            if (image.isJsonObject())
                found.add(image.getAsJsonObject())
        return found
    }

    /** The results folder of an image. Its name comes from a file, so it is checked not to lead out of her2/. */
    static File resultsOf(File her2, String image) {
        if (image == null || !IMAGE.matcher(image).matches())
            throw new Her2Refusal("'$image' is not a valid image folder name. $PULL")
        return new File(new File(her2, "results"), image)
    }

    /** The folder of the current run; null if the image has no result. */
    static File currentRun(File her2, String image) {
        File folder = resultsOf(her2, image)
        File pointer = new File(folder, "current.json")
        if (!pointer.isFile())
            return null
        String remedy = "Delete it and score the image again."
        String run = Her2Json.text(Her2Json.read(pointer, remedy), "run")
        if (run == null || !RUN.matcher(run).matches() || !new File(folder, run).isDirectory())
            throw new Her2Refusal("'$pointer' names the run '$run', which does not exist. $remedy")
        return new File(folder, run)
    }

    /** The finished run `run` of an image; null if it no longer exists. */
    static File runNamed(File her2, String image, String run) {
        if (run == null || !RUN.matcher(run).matches())
            return null
        File folder = new File(resultsOf(her2, image), run)
        return new File(folder, "run.json").isFile() ? folder : null
    }

    /** Any finished run with this run key, that is with the same input; null if none is left. */
    static File runOfKey(File her2, String image, long key) {
        String name = Her2Ids.runName(key)
        File[] found = resultsOf(her2, image).listFiles()
        if (found == null)
            return null
        // listFiles returns no defined order.
        Arrays.sort(found)
        for (File folder : found)
            if (folder.name.startsWith(name) && runNamed(her2, image, folder.name) != null)
                return folder
        return null
    }
}
