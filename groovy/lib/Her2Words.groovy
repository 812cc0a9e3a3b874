import groovy.transform.CompileStatic
import qupath.lib.projects.Project

/**
 * What scripts are told: settings by words (`--args`), and the folder that they work on.
 */
@CompileStatic
class Her2Words {

    /** The exchange folder that was named; the folder her2 beside the project file where none was. */
    static File exchangeFolder(Project<?> project, String named) {
        return named ? new File(named) : new File(project.getPath().getParent().toFile(), "her2")
    }

    /** Settings as words change them: `name=value` for a folder, the name alone for what is true or false. */
    static Map<String, Object> read(List<String> words, Map<String, Object> settings) {
        Map<String, Object> found = new LinkedHashMap<String, Object>(settings)
        for (String word : words) {
            int at = word.indexOf("=")
            String name = at < 0 ? word : word.substring(0, at)
            if (!settings.containsKey(name) || (settings.get(name) instanceof Boolean) != (at < 0))
                throw unknown(word, settings.collect { String key, Object value ->
                    value instanceof Boolean ? key : "$key=FOLDER".toString()
                })
            found.put(name, at < 0 ? (Object) true : word.substring(at + 1))
        }
        return found
    }

    /** What to throw at a word that nobody knows. */
    static IllegalArgumentException unknown(String word, List<String> known) {
        return new IllegalArgumentException("Unknown argument '$word'. There are: ${known.join(', ')}")
    }
}
