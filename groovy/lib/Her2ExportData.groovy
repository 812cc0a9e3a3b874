import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import java.lang.reflect.Method
import java.nio.file.Files
import java.nio.file.Path
import org.codehaus.groovy.runtime.InvokerHelper
import org.slf4j.LoggerFactory
import qupath.lib.images.ImageData
import qupath.lib.images.servers.ImageServer
import qupath.lib.io.PathIO
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

/**
 * The data of an image of a project as they are on the disk, read or refused. QuPath's own reading gives an empty image
 * where it fails, and whoever saves that has lost the annotations.
 */
@CompileStatic
class Her2ExportData {

    /**
     * Read an image's data onto an open server. QuPath 0.5 and later keep the former data beside the new ones while
     * they save; these are read where the new ones cannot be, as QuPath does.
     */
    static ImageData<BufferedImage> read(ProjectImageEntry<BufferedImage> entry, ImageServer<BufferedImage> server) {
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
            "Do not save it in QuPath; put a copy of that file back from your backup, then export again.")
    }

    /**
     * The data of an image whose project was moved with it, onto the file where it is now; null where it was not.
     * Saved, they note the new place, as QuPath does when it opens such a project.
     */
    static ImageData<BufferedImage> ofMoved(
            Project<BufferedImage> project, ProjectImageEntry<BufferedImage> entry) {
        Her2ExportSource source = new Her2ExportSource(project, entry.getServerBuilder())
        return source.isMoved() ? read(entry, source.connect()) : null
    }

    /** The one way of QuPath 0.5 still works in later versions, which warn of it and have another. */
    private static ImageData<BufferedImage> open(Path file, ImageServer<BufferedImage> server) {
        boolean isNew = PathIO.getMethods().any { Method method ->
            method.getName() == "readImageData" && method.getParameterTypes().toList() == [Path, ImageServer]
        }
        List<Object> words = isNew ? [(Object) file, server] : [(Object) file, null, server, BufferedImage]
        return (ImageData<BufferedImage>) InvokerHelper.invokeStaticMethod(PathIO, "readImageData", words.toArray())
    }
}
