import groovy.transform.CompileStatic

/**
 * Something that cannot be done, in a message for the user: what is wrong, the value found, where, and what to do.
 * It takes no cause: QuPath shows the message of the innermost cause instead of the one thrown.
 */
@CompileStatic
class Her2Refusal extends RuntimeException {

    Her2Refusal(String message) {
        super(message)
    }
}
