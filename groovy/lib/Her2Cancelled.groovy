import groovy.transform.CompileStatic

/**
 * The user pressed Cancel: nothing was changed, or every change was undone.
 */
@CompileStatic
class Her2Cancelled extends RuntimeException {

    Her2Cancelled() {
        super("Cancelled. Nothing in the image was changed.")
    }
}
