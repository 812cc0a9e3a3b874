import groovy.transform.CompileStatic

/**
 * The person pressed Cancel; nothing was changed, or everything was put back.
 */
@CompileStatic
class Her2Cancelled extends RuntimeException {

    Her2Cancelled() {
        super("Cancelled. Nothing in the image was changed.")
    }
}
