import groovy.transform.CompileStatic
import qupath.lib.projects.Project

/**
 * Script arguments (`--args`): settings, and the exchange folder.
 */
@CompileStatic
class Her2Arguments {

    /** The exchange folder `named`; the folder her2 next to the project file if none was given. */
    static File exchangeFolder(Project<?> project, String named) {
        return named ? new File(named) : new File(project.getPath().getParent().toFile(), "her2")
    }

    /** Settings as changed by arguments: `name=FOLDER` for a folder, the name alone to switch something on. */
    static Map<String, Object> parse(List<String> arguments, Map<String, Object> settings) {
        Map<String, Object> found = new LinkedHashMap<String, Object>(settings)
        for (String argument : arguments) {
            int at = argument.indexOf("=")
            String name = at < 0 ? argument : argument.substring(0, at)
            if (!settings.containsKey(name) || (settings.get(name) instanceof Boolean) != (at < 0))
                throw unknown(argument, settings.collect { String key, Object value ->
                    value instanceof Boolean ? key : "$key=FOLDER".toString()
                })
            found.put(name, at < 0 ? (Object) true : argument.substring(at + 1))
        }
        return found
    }

    /** The exception for an unknown argument. */
    static IllegalArgumentException unknown(String argument, List<String> known) {
        return new IllegalArgumentException("Unknown argument '$argument'. Available: ${known.join(', ')}")
    }
}
