import groovy.transform.CompileStatic
import java.nio.file.Files
import java.nio.file.Path
import qupath.lib.color.ColorDeconvolutionStains
import qupath.lib.images.ImageData
import qupath.lib.io.PathIO
import qupath.lib.objects.hierarchy.PathObjectHierarchy

/**
 * What a data file of QuPath holds, read without the image it belongs to, which may not be there.
 */
@CompileStatic
class Her2DataFile {

    PathObjectHierarchy hierarchy
    ImageData.ImageType type
    ColorDeconvolutionStains stains
    Map<String, Object> properties = new LinkedHashMap<String, Object>()

    /** Read a file; null where there is none, or where QuPath could not read it either. */
    static Her2DataFile read(Path file) {
        if (!Files.exists(file))
            return null
        Her2DataFile found = new Her2DataFile()
        // PathIO.readHierarchy never returns from a file that is cut short (seen in QuPath 0.5 to 0.7).
        try (InputStream bytes = new BufferedInputStream(Files.newInputStream(file))
             ObjectInputStream stream = PathIO.createObjectInputStream(bytes)) {
            stream.readUTF()
            found.takeAll(stream)
        } catch (EOFException ignored) {
            // As to QuPath, what came before the end counts, if the objects did.
            return found.hierarchy == null ? null : found
        } catch (IOException | ClassNotFoundException | RuntimeException ignored) {
            return null
        }
        return found.hierarchy == null ? null : found
    }

    private void takeAll(ObjectInputStream stream) {
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
}
