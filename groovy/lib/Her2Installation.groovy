import com.google.gson.Gson
import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.nio.file.Path
import qupath.lib.gui.UserDirectoryManager

/**
 * The folder of our scripts in QuPath's user directory, and her2.json in it: which Python to use, which files are ours,
 * which start-up script the user had before. qupath_her2/project/qupath/scripts.py writes the same file.
 */
@CompileStatic
class Her2Installation {

    static final String CONFIG = "her2.json"

    /**
     * <user directory>/her2; null if QuPath has no user directory yet. Not in its folder `scripts`, all files of which
     * QuPath lists in a menu, the library too.
     */
    static File folder() {
        return below("her2")
    }

    /** The folder of an earlier installation, which an update empties; null likewise. */
    static File earlierFolder() {
        return below("scripts/HER2")
    }

    private static File below(String name) {
        Path user = UserDirectoryManager.getInstance().getUserPath()
        return user == null ? null : new File(user.toFile(), name)
    }

    /** The folder of the running scripts: the one that contains this library. */
    static File running() {
        URL source = Her2Installation.classLoader.getResource("Her2Installation.groovy")
        return new File(source.toURI()).getParentFile().getParentFile()
    }

    /** The configuration of the installation; empty if the scripts are not installed. */
    static Map<String, Object> config() {
        for (File place : [running(), folder()])
            if (place != null && new File(place, CONFIG).isFile())
                return read(new File(place, CONFIG))
        return [:]
    }

    /** The content of a her2.json; empty if there is none. */
    static Map<String, Object> read(File file) {
        if (!file.isFile())
            return [:]
        JsonObject content = Her2Json.read(file, "Delete it and install the scripts again.")
        return (Map<String, Object>) new Gson().fromJson(content, Map)
    }

    /** Write her2.json into a folder of scripts. */
    static void write(File folder, Map<String, Object> config) {
        Her2Status.replace(new File(folder, CONFIG).toPath(), Her2Json.bytes(config))
    }

    /** Save which Python to use from now on. */
    static void usePython(File python) {
        File place = [running(), folder()].find { File it -> it != null && new File(it, CONFIG).isFile() }
        if (place == null)
            throw new Her2Refusal("The scripts are not installed, so the choice of Python cannot be saved. " +
                "Run install.groovy first (drag it onto QuPath, then press Run).")
        Map<String, Object> config = new TreeMap<String, Object>(read(new File(place, CONFIG)))
        config.put("python", python.getPath())
        write(place, config)
    }
}
