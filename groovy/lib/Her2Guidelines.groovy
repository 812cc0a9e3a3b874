import groovy.transform.CompileStatic
import qupath.lib.projects.ProjectImageEntry

/**
 * The guidelines of qupath_her2/scoring/guidelines.py, and the one that an image's metadata say it was scored by.
 */
@CompileStatic
class Her2Guidelines {

    /** Metadata key; the value is `NAME (ORIGIN)`, or a name alone if somebody typed it. */
    static final String KEY = "HER2 guideline"
    /** The origin of a guideline that a person chose for an image: later runs use it again. */
    static final String CHOSEN = "chosen for this image"
    /** Names by key, as scripts take it: `guideline=gastric-biopsy`. */
    static final Map<String, String> NAMES = [
        "breast-2018"      : "ASCO/CAP breast 2018/2023",
        "breast-2013"      : "ASCO/CAP breast 2013",
        "csco-2021"        : "CSCO breast 2021",
        "gastric-resection": "CAP/ASCP/ASCO gastric 2016, resection",
        "gastric-biopsy"   : "CAP/ASCP/ASCO gastric 2016, biopsy",
    ].asImmutable()

    /** What metadata hold of the guideline that an image was scored by; null if it was not scored. */
    static String usedFor(ProjectImageEntry<?> entry) {
        return entry.getMetadataMap().get(KEY)
    }

    /** Whether a person chose the guideline, by an option, a dialog, or by typing it among the metadata. */
    static boolean isChosen(String used) {
        return used != null && (!used.contains(" (") || used.endsWith(" ($CHOSEN)".toString()))
    }

    /**
     * The names of the guidelines that a script's arguments allow, such as `guideline=breast-2013` or `site=gastric`.
     * Empty if they do not say.
     */
    static Set<String> wantedBy(List<String> arguments) {
        Map<String, String> said = [:]
        for (String word : arguments)
            if (word.contains("="))
                said.put(word.substring(0, word.indexOf("=")), word.substring(word.indexOf("=") + 1).toLowerCase())
        Map<String, String> found = said.getOrDefault("guideline", "auto") != "auto" ?
            NAMES.findAll { String key, String name -> said.get("guideline") in [key, name.toLowerCase()] } :
            said.containsKey("site") ? NAMES.findAll { String key, String name ->
                key == "breast-2018" ? said.get("site") == "breast" :
                    key == "$said.site-${said.getOrDefault('specimen', key.tokenize('-')[1])}".toString()
            } : [:]
        return new LinkedHashSet<String>(found.values())
    }

    /** Whether what an image was scored by is none of the wanted guidelines. */
    static boolean differs(String used, Set<String> wanted) {
        return used != null && !wanted.isEmpty() &&
            !wanted.any { String it -> used == it || used.startsWith(it + " (") }
    }
}
