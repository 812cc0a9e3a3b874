import groovy.transform.CompileStatic
import java.nio.file.Files
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.gui.prefs.PathPrefs

/**
 * Our scripts into QuPath's user folder from inside QuPath, as `qupath-her2 install-scripts` does from a terminal.
 */
@CompileStatic
class Her2Setup {

    private static final String STARTUP = "startup.groovy"

    /** Copy the scripts of `source`, have QuPath run ours when it starts, and return the folder they are in now. */
    static File install(File source) {
        File target = place()
        Map<String, Object> before = Her2Installed.read(new File(target, Her2Installed.CONFIG))
        List<String> files = scripts(source)
        if (target.getCanonicalFile() != source.getCanonicalFile()) {
            for (String stale : ((List<String>) before.getOrDefault("files", [])) - files)
                remove(target, stale)
            for (String name : files)
                copy(new File(source, name), new File(target, name))
        }
        Map<String, Object> config = new TreeMap<String, Object>()
        config.put("files", files)
        config.put("former_startup", takeStartup(new File(target, STARTUP), before))
        File noted = new File(source, Her2Installed.CONFIG)
        config.put("python", before.get("python") ?: Her2Installed.read(noted).get("python"))
        config.put("version", before.get("version"))
        Her2Installed.write(target, config)
        return target
    }

    /** Find Python, note it, and say in a sentence what was found. */
    static String describePython(File folder) {
        File noted = new File(folder, Her2Installed.CONFIG)
        Map<String, Object> config = new TreeMap<String, Object>(Her2Installed.read(noted))
        try {
            Her2Python found = stillThere()
            config.put("python", found.program.getPath())
            config.put("version", found.packageVersion)
            Her2Installed.write(folder, config)
            return "Python found: ${found.version} with qupath-her2 ${found.packageVersion}."
        } catch (Her2Refusal problem) {
            return problem.message
        }
    }

    /** The one that was chosen, or another where that is gone. */
    private static Her2Python stillThere() {
        try {
            return Her2Python.find()
        } catch (Her2Refusal ignored) {
            // The search ends with a message that names all places.
            return Her2Python.search()
        }
    }

    /** Our folder in the user folder; one that QuPath never asked for is the one that it would propose. */
    private static File place() {
        UserDirectoryManager manager = UserDirectoryManager.getInstance()
        if (manager.getUserPath() == null) {
            File proposed = PathPrefs.getDefaultQuPathUserDirectory().toFile()
            Files.createDirectories(proposed.toPath())
            manager.setUserPath(proposed.toPath())
        }
        return Her2Installed.folder()
    }

    /** Names of the scripts and of the library's classes below `source`, with / between folders. */
    private static List<String> scripts(File source) {
        List<String> found = []
        for (String folder : ["", "lib/"])
            for (File file : (new File(source, folder).listFiles() ?: new File[0]))
                if (file.name.endsWith(".groovy"))
                    found.add(folder + file.name)
        Collections.sort(found)
        return found
    }

    private static void copy(File from, File to) {
        try {
            Files.createDirectories(to.getParentFile().toPath())
            Her2Status.replace(to.toPath(), Files.readAllBytes(from.toPath()))
        } catch (IOException problem) {
            throw new Her2Refusal("'$to' cannot be written ($problem). Choose another user folder in QuPath: " +
                "Edit > Preferences > Extensions > QuPath user directory.")
        }
    }

    private static void remove(File folder, String name) {
        File file = new File(folder, name)
        // A damaged list must not lead elsewhere.
        if (file.getCanonicalPath().startsWith(folder.getCanonicalPath() + File.separator))
            Files.deleteIfExists(file.toPath())
    }

    /** Have QuPath run our start-up script; returns the one that the user had, which ours runs first. */
    private static String takeStartup(File ours, Map<String, Object> before) {
        String now = PathPrefs.startupScriptProperty().get()
        if (now && new File(now).getCanonicalFile() == ours.getCanonicalFile())
            return (String) before.get("former_startup")
        PathPrefs.startupScriptProperty().set(ours.getPath())
        PathPrefs.savePreferences()
        return now ?: null
    }
}
