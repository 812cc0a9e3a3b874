import groovy.transform.CompileStatic
import java.nio.file.Files
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.gui.prefs.PathPrefs

/**
 * Installs the scripts in QuPath's user directory from within QuPath, as `qupath-her2 install-scripts` does.
 */
@CompileStatic
class Her2Installer {

    private static final String STARTUP = "startup.groovy"

    /** Copy the scripts of `source` and set QuPath's start-up script; returns the folder they are in now. */
    static File install(File source) {
        File target = targetFolder()
        Map<String, Object> here = Her2Installation.read(new File(target, Her2Installation.CONFIG))
        File earlier = Her2Installation.earlierFolder()
        Map<String, Object> there = Her2Installation.read(new File(earlier, Her2Installation.CONFIG))
        Map<String, Object> before = here.isEmpty() ? there : here
        List<String> files = scripts(source)
        if (target.getCanonicalFile() != source.getCanonicalFile()) {
            for (String stale : ((List<String>) here.getOrDefault("files", [])) - files)
                remove(target, stale)
            for (String name : files)
                copy(new File(source, name), new File(target, name))
        }
        Map<String, Object> config = new TreeMap<String, Object>()
        config.put("files", files)
        config.put("former_startup", setStartupScript(new File(target, STARTUP), before))
        File noted = new File(source, Her2Installation.CONFIG)
        config.put("python", before.get("python") ?: Her2Installation.read(noted).get("python"))
        config.put("version", before.get("version"))
        Her2Installation.write(target, config)
        removeAll(earlier, there)
        return target
    }

    /** Find Python and save it in her2.json; returns what was found, as a message. */
    static String findPython(File folder) {
        File noted = new File(folder, Her2Installation.CONFIG)
        Map<String, Object> config = new TreeMap<String, Object>(Her2Installation.read(noted))
        try {
            Her2Python found = chosenOrFound()
            config.put("python", found.program.getPath())
            config.put("version", found.packageVersion)
            Her2Installation.write(folder, config)
            return "Python found: ${found.version} with qupath-her2 ${found.packageVersion}."
        } catch (Her2Refusal problem) {
            return problem.message
        }
    }

    /** The chosen Python, or another one if that is gone. */
    private static Her2Python chosenOrFound() {
        try {
            return Her2Python.find()
        } catch (Her2Refusal ignored) {
            // If the search fails too, its message lists all places.
            return Her2Python.search()
        }
    }

    /** Our folder in the user directory; QuPath's default is used if the user never chose one. */
    private static File targetFolder() {
        UserDirectoryManager manager = UserDirectoryManager.getInstance()
        if (manager.getUserPath() == null) {
            File proposed = PathPrefs.getDefaultQuPathUserDirectory().toFile()
            Files.createDirectories(proposed.toPath())
            manager.setUserPath(proposed.toPath())
        }
        return Her2Installation.folder()
    }

    /** Relative paths of the scripts and the library's classes below `source`, with / as separator. */
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
            throw new Her2Refusal("'$to' cannot be written ($problem). Choose another user directory in QuPath: " +
                "Edit > Preferences > Extensions > QuPath user directory.")
        }
    }

    /** Empty the folder of an earlier installation; files of the user's own stay. */
    private static void removeAll(File folder, Map<String, Object> config) {
        if (config.isEmpty())
            return
        for (String name : (List<String>) config.getOrDefault("files", []))
            remove(folder, name)
        remove(folder, Her2Installation.CONFIG)
        // Fails, as it should, if the user has put files there.
        new File(folder, "lib").delete()
        folder.delete()
    }

    private static void remove(File folder, String name) {
        File file = new File(folder, name)
        // A damaged list must not delete files elsewhere.
        if (file.getCanonicalPath().startsWith(folder.getCanonicalPath() + File.separator))
            Files.deleteIfExists(file.toPath())
    }

    /** Set our start-up script in QuPath; returns the user's own, which ours runs first. */
    private static String setStartupScript(File ours, Map<String, Object> before) {
        String current = PathPrefs.startupScriptProperty().get()
        File earlier = new File(Her2Installation.earlierFolder(), STARTUP)
        boolean isOurs = current && new File(current).getCanonicalFile() == ours.getCanonicalFile()
        boolean wasOurs = current && new File(current).getCanonicalFile() == earlier.getCanonicalFile()
        if (isOurs)
            return (String) before.get("former_startup")
        PathPrefs.startupScriptProperty().set(ours.getPath())
        PathPrefs.savePreferences()
        return wasOurs ? (String) before.get("former_startup") : current ?: null
    }
}
