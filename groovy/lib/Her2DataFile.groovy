import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.lang.reflect.Method
import java.nio.file.Files
import java.nio.file.Path
import org.codehaus.groovy.runtime.InvokerHelper
import org.slf4j.LoggerFactory
import qupath.lib.color.ColorDeconvolutionStains
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServer
import qupath.lib.io.PathIO
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * A data file of QuPath (data.qpdata), read on its own, as the image file may be missing, or as the data of an open
 * image. QuPath's own reading returns an empty image where it fails, and saving that would lose the annotations.
 */
@CompileStatic
class Her2DataFile {

    PathObjectHierarchy hierarchy
    ImageData.ImageType type
    ColorDeconvolutionStains stains
    Map<String, Object> properties = new LinkedHashMap<String, Object>()

    /** Read a file without its image; null if there is none, or if QuPath could not read it either. */
    static Her2DataFile read(Path file) {
        if (!Files.exists(file))
            return null
        Her2DataFile found = new Her2DataFile()
        // PathIO.readHierarchy never returns from a truncated file (seen in QuPath 0.5 to 0.7).
        try (InputStream bytes = new BufferedInputStream(Files.newInputStream(file))
             ObjectInputStream stream = PathIO.createObjectInputStream(bytes)) {
            stream.readUTF()
            found.readAll(stream)
        } catch (EOFException ignored) {
            // As in QuPath, a truncated file counts as readable if its objects came before the end.
            return found.hierarchy == null ? null : found
        } catch (IOException | ClassNotFoundException | RuntimeException ignored) {
            return null
        }
        return found.hierarchy == null ? null : found
    }

    private void readAll(ObjectInputStream stream) {
        Object part = null
        while (part != "EOF") {
            part = stream.readObject()
            if (part instanceof PathObjectHierarchy)
                hierarchy = (PathObjectHierarchy) part
            else if (part instanceof ImageData.ImageType)
                type = (ImageData.ImageType) part
            else if (part instanceof ColorDeconvolutionStains)
                stains = (ColorDeconvolutionStains) part
            else if (part instanceof Map)
                properties.putAll((Map<String, Object>) part)
        }
    }

    /**
     * Read an image's data with an open server. QuPath 0.5 and later keep the previous data file as a backup while
     * saving; as in QuPath, it is read if the new one cannot be.
     */
    static ImageData<BufferedImage> readImage(
            ProjectImageEntry<BufferedImage> entry, ImageServer<BufferedImage> server) {
        List<Path> files = ["data.qpdata", "data.qpdata.bkp"].collect { entry.getEntryPath().resolve(it) }
            .findAll { Path file -> Files.exists(file) }
        if (files.isEmpty())
            return new ImageData<BufferedImage>(server)
        String why = null
        for (Path file : files) {
            try {
                ImageData<BufferedImage> data = open(file, server)
                if (data != null)
                    return data
                why = why ?: "it holds no image"
            } catch (IOException | RuntimeException problem) {
                LoggerFactory.getLogger("qupath-her2").warn("{} cannot be read", file, problem)
                why = why ?: problem.toString()
            }
        }
        throw new Her2Refusal("QuPath cannot read the saved data of this image ('${files[0]}': ${why}). " +
            "Do not save the image in QuPath; restore that file from your backup, then export again.")
    }

    /**
     * The data of an image whose file moved together with its project, with the file at its new place; null if it did
     * not move. Saving them stores the new path, as QuPath does when it opens such a project.
     */
    static ImageData<BufferedImage> ofMoved(
            Project<BufferedImage> project, ProjectImageEntry<BufferedImage> entry) {
        Her2ExportSource source = new Her2ExportSource(project, entry.getServerBuilder())
        return source.isMoved() ? readImage(entry, source.connect()) : null
    }

    /** Later versions still accept QuPath 0.5's method, but with a warning, so their own is used if there is one. */
    private static ImageData<BufferedImage> open(Path file, ImageServer<BufferedImage> server) {
        boolean isNew = PathIO.getMethods().any { Method method ->
            method.getName() == "readImageData" && method.getParameterTypes().toList() == [Path, ImageServer]
        }
        List<Object> arguments = isNew ? [(Object) file, server] : [(Object) file, null, server, BufferedImage]
        return (ImageData<BufferedImage>) InvokerHelper.invokeStaticMethod(PathIO, "readImageData", arguments.toArray())
    }
}
