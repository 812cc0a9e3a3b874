import groovy.transform.CompileStatic
import java.nio.ByteBuffer
import qupath.lib.images.ImageData

/**
 * What an image remembers of our results, among its own properties, so that it is saved in one file with the
 * objects it speaks of: the run that is shown, the classes that other people's cells had before, and the outlines
 * of cells and patches of ours that a person deleted.
 */
@CompileStatic
class Her2Memory {

    private static final String RUN = "run"
    private static final String EARLIER = "earlier classes"
    private static final String DELETED = "deleted cells"
    private static final String DELETED_PATCHES = "deleted patches"

    private final Her2Layer layer

    /** The run whose objects are in the image; null where there is none. */
    String run
    /** By the UUID of a cell that is not ours. */
    Map<UUID, Her2Earlier> earlier = [:]
    /** Outlines x, y, x, y, …: a new cell with its nucleus centre in one is not added. */
    List<float[]> deleted = []
    /** Outlines likewise: a new patch with its centre in one is not added. */
    List<float[]> deletedPatches = []

    Her2Memory(Her2Layer layer) {
        this.layer = layer
    }

    /** Whether an image remembers a result of ours of any kind. */
    static boolean isOfAny(ImageData<?> image) {
        return Her2Layer.ALL.any { Her2Layer layer -> image.getProperty(layer.property(RUN)) != null }
    }

    static Her2Memory of(ImageData<?> image, Her2Layer layer) {
        Her2Memory memory = new Her2Memory(layer)
        memory.run = image.getProperty(layer.property(RUN)) as String
        Object earlier = image.getProperty(layer.property(EARLIER))
        if (earlier instanceof byte[])
            memory.earlier = Her2Earlier.unpack((byte[]) earlier)
        memory.deleted = rings(image.getProperty(layer.property(DELETED)))
        memory.deletedPatches = rings(image.getProperty(layer.property(DELETED_PATCHES)))
        return memory
    }

    /** Under which name an image remembers the run. */
    String runProperty() {
        return layer.property(RUN)
    }

    /** The properties that say this; null for one that is to be removed. */
    Map<String, Object> properties() {
        Map<String, Object> found = new LinkedHashMap<String, Object>()
        found.put(layer.property(RUN), run)
        found.put(layer.property(EARLIER), earlier.isEmpty() ? null : Her2Earlier.pack(earlier))
        found.put(layer.property(DELETED), deleted.isEmpty() ? null : packed(deleted))
        found.put(layer.property(DELETED_PATCHES), deletedPatches.isEmpty() ? null : packed(deletedPatches))
        return found
    }

    private static List<float[]> rings(Object property) {
        List<float[]> found = []
        ByteBuffer bytes = ByteBuffer.wrap(property instanceof byte[] ? (byte[]) property : new byte[0])
        while (bytes.hasRemaining()) {
            float[] ring = new float[bytes.getInt()]
            for (int i = 0; i < ring.length; i++)
                ring[i] = bytes.getFloat()
            found.add(ring)
        }
        return found
    }

    private static byte[] packed(List<float[]> rings) {
        int size = 0
        for (float[] ring : rings)
            size += 4 + 4 * ring.length
        ByteBuffer bytes = ByteBuffer.allocate(size)
        for (float[] ring : rings) {
            bytes.putInt(ring.length)
            for (int i = 0; i < ring.length; i++)
                bytes.putFloat(ring[i])
        }
        return bytes.array()
    }
}
