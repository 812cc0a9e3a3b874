import groovy.transform.CompileStatic

/**
 * A script to run, and its arguments.
 */
@CompileStatic
class Her2Order {

    /** The name of one of our scripts. */
    final String script
    final List<String> arguments

    Her2Order(String script, List<String> arguments) {
        this.script = script
        this.arguments = arguments.asImmutable()
    }
}
