import com.google.gson.JsonParser
import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.nio.ByteBuffer
import java.nio.channels.SeekableByteChannel
import java.nio.file.Files
import java.nio.file.Path
import java.security.MessageDigest
import java.text.Normalizer
import qupath.lib.color.ColorDeconvolutionStains
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServer
import qupath.lib.images.servers.PixelCalibration
import qupath.lib.projects.ProjectImageEntry

/**
 * The entry of an image in images.json; qupath_her2/project/exchange/images.py reads the fields.
 */
@CompileStatic
class Her2ExportImage {

    private static final int SLUG_CHARS = 40
    private static final int BLOCK = 1 << 20
    private static final long WHOLE_FILE = 64L << 20
    private static final int BLOCKS = 18

    /** Facts about an image that need no opening of it. */
    static Map<String, Object> facts(
            ProjectImageEntry<BufferedImage> entry, Her2ExportSource source, File beside, String id,
            boolean isMasked) {
        Map<String, String> metadata = new TreeMap<String, String>(entry.getMetadataMap())
        metadata.keySet().removeAll(Her2Import.KEYS)
        // The one result that is also an input: a person's choice holds for later runs.
        if (Her2Guidelines.isChosen(Her2Guidelines.usedFor(entry)))
            metadata.put(Her2Guidelines.KEY, Her2Guidelines.usedFor(entry))
        Map<String, String> shown = entry.getMetadataMap()
        // A masked entry shows another random name each time the project is opened.
        String name = isMasked ? "Image ${entry.getID()}".toString() : entry.getOriginalImageName()
        Map<String, Object> facts = [id: (Object) id, entry_id: (Object) entry.getID(), name: (Object) name]
        facts["path"] = source.file == null ? source.address : relative(source.file, beside)
        facts["chain"] = source.chain
        facts["series"] = source.series
        facts["metadata"] = metadata
        // What a person deleted since is no longer in the image, and is not proposed again.
        for (Map.Entry<String, String> run : Her2Import.RUN_KEYS.entrySet())
            if (shown.get(run.value))
                facts[run.key] = shown.get(run.value)
        facts["fingerprint"] = source.file == null ? null : fingerprint(source.file.toPath())
        return facts
    }

    /** Facts about an open image: size, pixel size, stains, type. */
    static Map<String, Object> measures(ImageData<BufferedImage> data) {
        ImageServer<BufferedImage> server = data.getServer()
        PixelCalibration scale = server.getPixelCalibration()
        ColorDeconvolutionStains stains = data.isBrightfield() ? data.getColorDeconvolutionStains() : null
        return [
            width        : (Object) server.getWidth(),
            height       : (Object) server.getHeight(),
            pixel_size_um: scale.hasPixelSizeMicrons() ? scale.getAveragedPixelSizeMicrons().doubleValue() : null,
            image_type   : data.getImageType().name(),
            stains       : stains == null ? null
                : JsonParser.parseString(ColorDeconvolutionStains.getColorDeconvolutionStainsAsString(stains, 5)),
        ]
    }

    /** Why HER2 cannot be scored on this image; null if it can. */
    static Map<String, String> refusalOf(ImageData<BufferedImage> data) {
        ImageServer<BufferedImage> server = data.getServer()
        if (data.isFluorescence() || !server.isRGB())
            return refusal("not_brightfield", "the image is not brightfield RGB but ${data.getImageType()} with " +
                "${server.nChannels()} channel(s). HER2 immunohistochemistry is scored on brightfield RGB scans")
        if (server.nZSlices() > 1 || server.nTimepoints() > 1)
            return refusal("z_stack", "the image is a stack (${server.nZSlices()} focal planes, " +
                "${server.nTimepoints()} time points). Export one plane as a separate image and score that")
        return null
    }

    /** A refusal as images.json holds it. */
    static Map<String, String> refusal(String code, String reason) {
        return [code: code, reason: reason]
    }

    /** The folder name of an image, as qupath_her2.project.exchange.runs.image_id; the entry ID alone if masked. */
    static String identity(String entryId, String name) {
        if (name == null)
            return entryId
        int dot = name.lastIndexOf(".")
        String stem = dot > 0 ? name.substring(0, dot) : name
        String ascii = Normalizer.normalize(stem, Normalizer.Form.NFKD).replaceAll(/[^\x00-\x7F]/, "")
        String slug = ascii.replaceAll(/[^0-9A-Za-z]+/, "-")
        slug = slug.substring(0, Math.min(SLUG_CHARS, slug.length())).replaceAll(/^-+|-+$/, "")
        return slug.isEmpty() ? entryId : "${entryId}_${slug}".toString()
    }

    /** Relative to the folder of her2 if that leads at most two folders up: such files move with the project. */
    static String relative(File file, File beside) {
        Path path = file.toPath().toAbsolutePath().normalize()
        Path from = beside.toPath().toAbsolutePath().normalize()
        if (path.getRoot() != from.getRoot())
            return path.toString().replace("\\", "/")
        Path way = from.relativize(path)
        boolean isFar = way.startsWith("../../..") || from.getNameCount() <= parentSteps(way)
        return (isFar ? path : way).toString().replace("\\", "/")
    }

    private static int parentSteps(Path way) {
        return way.findAll { Path step -> step.toString() == ".." }.size()
    }

    /** As qupath_her2.provenance.image_fingerprint: the SHA-256 of the whole file, or of 18 blocks of a large one. */
    static String fingerprint(Path path) {
        long size = Files.size(path)
        MessageDigest digest = MessageDigest.getInstance("SHA-256")
        digest.update(ByteBuffer.allocate(8).putLong(size).flip() as ByteBuffer)
        SeekableByteChannel channel = Files.newByteChannel(path)
        try {
            // A slide can have gigabytes on a network drive; blocks spread over the file tell slides apart much faster.
            if (size <= WHOLE_FILE) {
                add(digest, channel, 0, size)
            } else {
                for (int i = 0; i < BLOCKS; i++)
                    add(digest, channel, Math.round(i * (size - BLOCK) / (double) (BLOCKS - 1)), BLOCK)
            }
        } finally {
            channel.close()
        }
        addParts(digest, path)
        return HexFormat.of().formatHex(digest.digest())
    }

    private static void add(MessageDigest digest, SeekableByteChannel channel, long start, long length) {
        channel.position(start)
        ByteBuffer block = ByteBuffer.allocate((int) Math.min((long) BLOCK, Math.max(1L, length)))
        long left = length
        while (left > 0) {
            block.clear().limit((int) Math.min((long) BLOCK, left))
            int read = channel.read(block)
            if (read < 0)
                break
            digest.update(block.flip() as ByteBuffer)
            left -= read
        }
    }

    /** An MRXS slide's pixels are in a folder next to it, which is represented by its files' names and sizes. */
    private static void addParts(MessageDigest digest, Path path) {
        String name = path.getFileName().toString()
        File[] parts = name.toLowerCase(Locale.ROOT).endsWith(".mrxs") ?
            path.resolveSibling(name.substring(0, name.length() - 5)).toFile().listFiles() : null
        for (File part : (parts ?: new File[0]).sort(false) { File one -> one.getName() })
            digest.update("${part.getName()}\0${part.length()}\n".toString().getBytes("UTF-8"))
    }
}
