import groovy.transform.CompileStatic

/**
 * How to take back what was done, newest first.
 */
@CompileStatic
class Her2Undo {

    private final Deque<Runnable> steps = new ArrayDeque<Runnable>()

    /** Remember how to take back what is about to be done. */
    void remember(Runnable step) {
        steps.push(step)
    }

    /** Take everything back; a step that fails does not keep the others from being taken back. */
    void takeBack(Throwable reason) {
        while (!steps.isEmpty()) {
            try {
                steps.pop().run()
            } catch (Exception | Error problem) {
                reason.addSuppressed(problem)
            }
        }
    }
}
