import groovy.transform.CompileStatic

/**
 * Whose an object is, by its UUID alone (RFC 9562, version 8), as qupath_her2/provenance.py makes them:
 * 48 bits "QPHER2", version, run key (42 bits around the variant), running number (32 bits).
 */
@CompileStatic
class Her2Ids {

    /** "QPHER2" in ASCII. */
    static final long TAG = 0x515048455232L

    private static final long LOW_KEY = (1L << 30) - 1

    /** Whether we made the object: a test of bits, whatever became of it since. */
    static boolean isOurs(UUID id) {
        long high = id.getMostSignificantBits()
        return (high >>> 16) == TAG && ((high >>> 12) & 0xF) == 8 && (id.getLeastSignificantBits() >>> 62) == 2
    }

    /** The run key of an object of ours: 42 bits. */
    static long runKey(UUID id) {
        return ((id.getMostSignificantBits() & 0xFFF) << 30) | ((id.getLeastSignificantBits() >>> 32) & LOW_KEY)
    }

    /** The run key as it begins the name of the run's folder: 11 hex digits. */
    static String runName(long key) {
        return String.format("%011x", key)
    }

    /** The running number of an object in its run. */
    static long number(UUID id) {
        return id.getLeastSignificantBits() & 0xFFFFFFFFL
    }
}
