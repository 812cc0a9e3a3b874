import groovy.transform.CompileStatic
import java.nio.ByteBuffer
import qupath.lib.images.ImageData

/**
 * What we store among an image's own properties, so that it is saved in one file with the objects: the run that is
 * shown, the previous classes of existing cells, and the outlines of our cells and patches that the user deleted.
 */
@CompileStatic
class Her2ImageProperties {

    private static final String RUN = "run"
    private static final String PREVIOUS_CLASSES = "earlier classes"
    private static final String DELETED = "deleted cells"
    private static final String DELETED_PATCHES = "deleted patches"

    private final Her2ResultKind kind

    /** The run whose objects are in the image; null if there is none. */
    String run
    /** By the UUID of an existing cell. */
    Map<UUID, Her2PreviousClass> previousClasses = [:]
    /** Outlines x, y, x, y, …: a new cell whose centre lies in one is not added. */
    List<float[]> deleted = []
    /** Outlines likewise: a new patch whose centre lies in one is not added. */
    List<float[]> deletedPatches = []
    /** Properties of fields that a score of the image replaces. */
    private List<String> replaced = []

    Her2ImageProperties(Her2ResultKind kind) {
        this.kind = kind
    }

    /** Whether an image has a result of ours of any kind. */
    static boolean isOfAny(ImageData<?> image) {
        return Her2ResultKind.ALL.any { Her2ResultKind kind -> image.getProperty(kind.property(RUN)) != null } ||
            !fieldKeys(image).isEmpty()
    }

    /** The annotations of an image that were scored by themselves. */
    static Set<UUID> fields(ImageData<?> image) {
        return fieldKeys(image).collect { String it -> Her2ResultKind.fieldOf(it) } as LinkedHashSet<UUID>
    }

    private static List<String> fieldKeys(ImageData<?> image) {
        return image.getProperties().keySet().findAll { String it -> Her2ResultKind.fieldOf(it) != null }.sort()
    }

    static Her2ImageProperties of(ImageData<?> image, Her2ResultKind kind) {
        Her2ImageProperties found = new Her2ImageProperties(kind)
        found.replaced = kind.isScore() ? fieldKeys(image) : []
        found.run = image.getProperty(kind.property(RUN)) as String
        Object packed = image.getProperty(kind.property(PREVIOUS_CLASSES))
        if (packed instanceof byte[])
            found.previousClasses = Her2PreviousClass.unpack((byte[]) packed)
        found.deleted = rings(image.getProperty(kind.property(DELETED)))
        found.deletedPatches = rings(image.getProperty(kind.property(DELETED_PATCHES)))
        return found
    }

    /** The properties of an image without results of this kind. */
    Her2ImageProperties without() {
        Her2ImageProperties found = new Her2ImageProperties(kind)
        found.replaced = replaced
        return found
    }

    /** The key of the property that holds the run. */
    String runProperty() {
        return kind.property(RUN)
    }

    /** The properties to set; a null value removes one. */
    Map<String, Object> properties() {
        Map<String, Object> found = new LinkedHashMap<String, Object>()
        for (String key : replaced)
            found.put(key, null)
        found.put(kind.property(RUN), run)
        found.put(kind.property(PREVIOUS_CLASSES),
            previousClasses.isEmpty() ? null : Her2PreviousClass.pack(previousClasses))
        found.put(kind.property(DELETED), deleted.isEmpty() ? null : packed(deleted))
        found.put(kind.property(DELETED_PATCHES), deletedPatches.isEmpty() ? null : packed(deletedPatches))
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
