import groovy.transform.CompileStatic

/**
 * Steps that undo what was done, newest first.
 */
@CompileStatic
class Her2Undo {

    private final Deque<Runnable> steps = new ArrayDeque<Runnable>()

    /** Add a step that undoes what is about to be done. */
    void add(Runnable step) {
        steps.push(step)
    }

    /** Undo everything; a step that fails does not stop the others. */
    void run(Throwable reason) {
        while (!steps.isEmpty()) {
            try {
                steps.pop().run()
            } catch (Exception | Error problem) {
                reason.addSuppressed(problem)
            }
        }
    }
}
