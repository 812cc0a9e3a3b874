import groovy.transform.CompileStatic

/**
 * Something that cannot be done, said so that its reader can go on: what, the value met, where, the way out.
 * It takes no cause: QuPath shows the message of the innermost cause in place of the one thrown.
 */
@CompileStatic
class Her2Refusal extends RuntimeException {

    Her2Refusal(String message) {
        super(message)
    }
}
