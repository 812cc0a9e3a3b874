import groovy.transform.CompileStatic

/**
 * The service cannot do what was asked: none runs, it is another version's, it is busy, or it may not. A Python of its
 * own can. The message is a sentence for the user.
 */
@CompileStatic
class Her2NoService extends RuntimeException {

    /** Whether the service runs and may not read the folder. */
    final boolean isForbidden

    Her2NoService(String message, boolean isForbidden = false) {
        super(message)
        this.isForbidden = isForbidden
    }
}
