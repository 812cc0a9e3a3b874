import com.google.gson.JsonArray
import com.google.gson.JsonElement
import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.nio.file.Files
import java.nio.file.Path
import java.util.stream.Collectors
import java.util.stream.Stream
import qupath.lib.images.servers.ImageServer
import qupath.lib.images.servers.ImageServerBuilder.ServerBuilder
import qupath.lib.io.GsonTools
import qupath.lib.projects.Project

/**
 * The source of an image's pixels: the file, found again if the project was moved, and the steps from the file to the
 * image that QuPath shows (crop, rotation).
 */
@CompileStatic
class Her2ExportSource {

    /** Depth below the project folder to which a file of the same name is searched, as in QuPath. */
    private static final int SEARCH_DEPTH = 4

    /** QuPath's server builder, with the files at their current places. */
    final ServerBuilder<BufferedImage> builder
    /** The image file; null if the source is not a file, or the file is missing. */
    final File file
    /** The source as shown in messages: the path of a file, or the whole URI. */
    final String address
    /** Steps from the file to QuPath's image: {crop: [x, y, width, height]} and {rotate: degrees clockwise}. */
    final List<Map<String, Object>> chain = []
    /** Which image of a file with several: its number or name; null if the file holds one. */
    final String series
    /** Why Python cannot reproduce QuPath's image from the file; null if it can. */
    final String problem

    private final ServerBuilder<BufferedImage> recorded

    Her2ExportSource(Project<BufferedImage> project, ServerBuilder<BufferedImage> recorded) {
        this.recorded = recorded
        List<URI> uris = new ArrayList<URI>(recorded.getURIs())
        Map<URI, URI> moved = [:]
        Map<URI, File> found = [:]
        for (URI uri : uris) {
            File at = locate(uri, project)
            found[uri] = at
            if (at != null && at.toURI() != uri)
                moved[uri] = at.toURI()
        }
        builder = moved.isEmpty() ? recorded : recorded.updateURIs(moved)
        file = uris.size() == 1 ? found[uris[0]] : null
        address = uris.isEmpty() ? "nothing" : (isFile(uris[0]) ? textOf(uris[0]) : uris[0].toString())
        JsonObject end = follow(GsonTools.getInstance().toJsonTree(recorded, ServerBuilder).getAsJsonObject())
        series = end == null ? null : seriesOf(end)
        problem = problemOf(end, uris)
    }

    /** Whether the file is at another place than the project has recorded. */
    boolean isMoved() {
        return !builder.is(recorded)
    }

    /** Open the image at its current place. */
    ImageServer<BufferedImage> connect() {
        if (file == null && problem == null)
            throw new Her2Refusal("the image file '${address}' does not exist. Open the project in QuPath and let it " +
                "search for the image, or put the file back")
        try {
            return builder.build()
        } catch (Exception reason) {
            throw new Her2Refusal("QuPath cannot open the image file '${address}' (${reason.message ?: reason}). " +
                "Open it in QuPath to see why: it may be damaged, or the extension that reads it may be missing")
        }
    }

    /** Walk from the outermost builder to the file, collecting the steps; null if one is not a crop or rotation. */
    private JsonObject follow(JsonObject outer) {
        JsonObject at = outer
        while (at.has("builder")) {
            switch (at.get("builderType").getAsString()) {
                case "pyramidize":
                    break
                case "rotated":
                    String rotation = at.get("rotation").getAsString()
                    if (rotation != "ROTATE_NONE")
                        chain.add(0, [rotate: (Object) Integer.valueOf(rotation.replace("ROTATE_", ""))])
                    break
                case "cropped":
                    JsonObject box = at.getAsJsonObject("region")
                    chain.add(0, [crop: (Object) ["x", "y", "width", "height"].collect { box.get(it).getAsInt() }])
                    break
                default:
                    return null
            }
            at = at.getAsJsonObject("builder")
        }
        return at.get("builderType").getAsString() == "uri" ? at : null
    }

    private static List<String> argumentsOf(JsonObject end) {
        JsonArray listed = end.has("args") ? end.getAsJsonArray("args") : new JsonArray()
        return listed.collect { JsonElement word -> word.getAsString() }
    }

    /** The value of `--series` or `--name`, by which Bio-Formats selects one of several images in a file. */
    private static String seriesOf(JsonObject end) {
        List<String> words = argumentsOf(end)
        for (String key : ["--series", "--name"]) {
            int at = words.indexOf(key)
            if (at >= 0 && at + 1 < words.size())
                return words[at + 1]
        }
        return null
    }

    private String problemOf(JsonObject end, List<URI> uris) {
        if (uris.size() != 1)
            return "it is composed of ${uris.size()} files".toString()
        if (end == null)
            return "QuPath transforms it by more than cropping and rotation"
        if (!isFile(uris[0]))
            return "its source is not a file but '${uris[0]}'".toString()
        if (series != null && series != "0")
            return "it is image '${series}' of several in one file".toString()
        if ("--no-crop" in argumentsOf(end))
            return "it was opened with --no-crop, that is, with the empty glass around the scanned area"
        return null
    }

    private static boolean isFile(URI uri) {
        return uri.getScheme() == null || uri.getScheme().equalsIgnoreCase("file")
    }

    /** A file URI as a path, whichever system wrote it: `C:/slides/a.svs`, `//server/share/a.svs`. */
    static String textOf(URI uri) {
        String path = uri.getPath() ?: uri.toString()
        if (uri.getAuthority())
            return "//${uri.getAuthority()}${path}".toString()
        return path.matches("/[A-Za-z]:.*") ? path.substring(1) : path
    }

    /** Find the file: as recorded, at its old place relative to the project, or by its name below the project. */
    private static File locate(URI uri, Project<BufferedImage> project) {
        if (!isFile(uri))
            return null
        String text = textOf(uri)
        File recorded = new File(text)
        if (recorded.isAbsolute() && recorded.exists())
            return recorded
        File folder = project.getPath().getParent().toFile()
        URI before = project.getPreviousURI()
        String relative = before == null ? null : between(parentOf(textOf(before)), text)
        File moved = relative == null ? null : new File(folder, relative).toPath().normalize().toFile()
        return moved != null && moved.exists() ? moved : onlyOneNamed(text.substring(text.lastIndexOf("/") + 1), folder)
    }

    private static String parentOf(String path) {
        return path.substring(0, Math.max(0, path.lastIndexOf("/")))
    }

    /** The relative path from a folder to a file; null if they share no parent. Drive letters ignore case. */
    static String between(String folder, String path) {
        List<String> from = folder.split("/") as List<String>
        List<String> to = path.split("/") as List<String>
        int same = 0
        while (same < from.size() && same < to.size() - 1 && sameStep(from[same], to[same]))
            same++
        // Sharing only the root says nothing about where the files are relative to each other.
        if (same == 0 || (same == 1 && from[0].isEmpty()))
            return null
        return ((List<String>) [".."] * (from.size() - same) + to.drop(same)).join("/")
    }

    private static boolean sameStep(String one, String other) {
        return one == other || (one.matches("[A-Za-z]:") && one.equalsIgnoreCase(other))
    }

    private static File onlyOneNamed(String name, File folder) {
        Stream<Path> below = Files.walk(folder.toPath(), SEARCH_DEPTH)
        try {
            List<Path> found = below
                .filter { Path path -> path.getFileName().toString() == name && Files.isRegularFile(path) }
                .limit(2).collect(Collectors.toList())
            // With two files of the same name, a guess could measure the wrong patient's slide.
            return found.size() == 1 ? found[0].toFile() : null
        } catch (UncheckedIOException ignored) {
            // A folder that cannot be read contains nothing usable.
            return null
        } finally {
            below.close()
        }
    }
}
