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

    static final String RUN = "HER2 run"
    static final String EARLIER = "HER2 earlier classes"
    static final String DELETED = "HER2 deleted cells"
    static final String DELETED_PATCHES = "HER2 deleted patches"
    /** The properties above; everything else of an image is the person's. */
    static final List<String> KEYS = [RUN, EARLIER, DELETED, DELETED_PATCHES].asImmutable()

    /** The run whose objects are in the image; null where there is none. */
    String run
    /** By the UUID of a cell that is not ours. */
    Map<UUID, Her2Earlier> earlier = [:]
    /** Outlines x, y, x, y, …: a new cell with its nucleus centre in one is not added. */
    List<float[]> deleted = []
    /** Outlines likewise: a new patch with its centre in one is not added. */
    List<float[]> deletedPatches = []

    static Her2Memory of(ImageData<?> image) {
        Her2Memory memory = new Her2Memory()
        memory.run = image.getProperty(RUN) as String
        Object earlier = image.getProperty(EARLIER)
        if (earlier instanceof byte[])
            memory.earlier = Her2Earlier.unpack((byte[]) earlier)
        memory.deleted = rings(image.getProperty(DELETED))
        memory.deletedPatches = rings(image.getProperty(DELETED_PATCHES))
        return memory
    }

    /** The properties that say this; null for one that is to be removed. */
    Map<String, Object> properties() {
        Map<String, Object> found = new LinkedHashMap<String, Object>()
        found.put(RUN, run)
        found.put(EARLIER, earlier.isEmpty() ? null : Her2Earlier.pack(earlier))
        found.put(DELETED, deleted.isEmpty() ? null : packed(deleted))
        found.put(DELETED_PATCHES, deletedPatches.isEmpty() ? null : packed(deletedPatches))
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
