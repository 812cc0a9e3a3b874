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
 * Where the pixels of an image come from: the file, found again where the project was moved, and what QuPath does to it
 * before it shows it (crop, rotation), from the file outward.
 */
@CompileStatic
class Her2ExportSource {

    /** How deep below the project a file of the same name is looked for; QuPath itself looks as deep. */
    private static final int SEARCH_DEPTH = 4

    /** What QuPath reads, with its files where they are now. */
    final ServerBuilder<BufferedImage> builder
    /** The image file; null where it is no file or not there. */
    final File file
    /** What to call the file in words: its name where it is one, else the whole address. */
    final String address
    /** Steps from the file to what QuPath shows: {crop: [x, y, width, height]} and {rotate: degrees clockwise}. */
    final List<Map<String, Object>> chain = []
    /** Which image of the file: its number, or null where the file holds one. */
    final String series
    /** Why Python cannot follow QuPath from the file to what is shown; null where it can. */
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

    /** Whether the project says another place than where the file is. */
    boolean isMoved() {
        return !builder.is(recorded)
    }

    /** Open the image, where it is now. */
    ImageServer<BufferedImage> connect() {
        if (file == null && problem == null)
            throw new Her2Refusal("the image file '${address}' is not there. In QuPath: open the project and let it " +
                "search for the image, or put the file back")
        try {
            return builder.build()
        } catch (Exception reason) {
            throw new Her2Refusal("QuPath cannot open the image file '${address}' (${reason.message ?: reason}). " +
                "Open it in QuPath to see why; it may be damaged or its reader not installed")
        }
    }

    /** Walk from the outermost server to the file, noting the steps; null where a step is not crop or rotation. */
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

    /** The value of `--series` or `--name`, by which Bio-Formats tells the images of one file apart. */
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
            return "it is put together from ${uris.size()} files".toString()
        if (end == null)
            return "QuPath changes it on the way to the screen by more than cropping and turning"
        if (!isFile(uris[0]))
            return "it is no file but '${uris[0]}'".toString()
        if (series != null && series != "0")
            return "it is image '${series}' of several in one file".toString()
        if ("--no-crop" in argumentsOf(end))
            return "it was opened with --no-crop, that is with the empty glass around the scanned area"
        return null
    }

    private static boolean isFile(URI uri) {
        return uri.getScheme() == null || uri.getScheme().equalsIgnoreCase("file")
    }

    /** A file's address as a path, of whichever system wrote it: `C:/slides/a.svs`, `//server/share/a.svs`. */
    static String textOf(URI uri) {
        String path = uri.getPath() ?: uri.toString()
        if (uri.getAuthority())
            return "//${uri.getAuthority()}${path}".toString()
        return path.matches("/[A-Za-z]:.*") ? path.substring(1) : path
    }

    /** The file where it is now: as recorded, as it lay to the project, or the one of its name below the project. */
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

    /** The way from a folder to a file, both as text; null where they share nothing. Drives differ in case alone. */
    static String between(String folder, String path) {
        List<String> from = folder.split("/") as List<String>
        List<String> to = path.split("/") as List<String>
        int same = 0
        while (same < from.size() && same < to.size() - 1 && sameStep(from[same], to[same]))
            same++
        // Nothing but the empty step before the first slash in common says nothing about where files lie.
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
            // Two files of one name: a guess could measure the wrong patient's slide.
            return found.size() == 1 ? found[0].toFile() : null
        } catch (UncheckedIOException ignored) {
            // A folder that may not be read holds nothing that could be used.
            return null
        } finally {
            below.close()
        }
    }
}
