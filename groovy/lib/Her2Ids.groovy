import groovy.transform.CompileStatic
import qupath.lib.objects.PathObject

/**
 * Object UUIDs (RFC 9562, version 8) that show whether we made an object, as made by qupath_her2/provenance.py:
 * 48 bits "QPHER2", version, run key (42 bits around the variant), serial number (32 bits).
 */
@CompileStatic
class Her2Ids {

    /** "QPHER2" in ASCII. */
    static final long TAG = 0x515048455232L

    private static final long LOW_KEY = (1L << 30) - 1

    /** Whether we made the object: a test of bits only, so it still holds after the object was edited. */
    static boolean isOurs(UUID id) {
        long high = id.getMostSignificantBits()
        return (high >>> 16) == TAG && ((high >>> 12) & 0xF) == 8 && (id.getLeastSignificantBits() >>> 62) == 2
    }

    /**
     * Whether we made an annotation of this class and nobody has taken it over: one of ours to which a person gave a
     * class is that person's region, though its UUID stays.
     */
    static boolean isMade(UUID id, String className) {
        return isOurs(id) && (className == null || className == Her2Classes.PROPOSED)
    }

    /** Whether we made an object, and no person has taken it over. */
    static boolean isMade(PathObject object) {
        String className = object.isAnnotation() ? Her2Classes.nameOf(object.getPathClass()) : null
        return isMade(object.getID(), className)
    }

    /** The run key of an object of ours: 42 bits. */
    static long runKey(UUID id) {
        // The two variant bits separate the upper 12 bits of the key from the lower 30.
        return ((id.getMostSignificantBits() & 0xFFF) << 30) | ((id.getLeastSignificantBits() >>> 32) & LOW_KEY)
    }

    /** The run key as 11 hex digits, the first part of the run folder's name. */
    static String runName(long key) {
        return String.format("%011x", key)
    }

    /** The serial number of an object in its run. */
    static long number(UUID id) {
        return id.getLeastSignificantBits() & 0xFFFFFFFFL
    }
}
