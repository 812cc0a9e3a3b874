import com.google.gson.Gson
import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.nio.file.Path
import qupath.lib.gui.UserDirectoryManager

/**
 * The place of our scripts in QuPath's user folder, and what her2.json there says: which Python to use, which files
 * are ours, which start-up script the user had before (written alike by qupath_her2/project/scripts.py).
 */
@CompileStatic
class Her2Installed {

    static final String CONFIG = "her2.json"

    /** <user folder>/scripts/HER2; null where QuPath never asked for a user folder. */
    static File folder() {
        Path scripts = UserDirectoryManager.getInstance().getScriptsDirectoryPath()
        return scripts == null ? null : new File(scripts.toFile(), "HER2")
    }

    /** The folder whose scripts are running: the one above this library. */
    static File running() {
        URL source = Her2Installed.classLoader.getResource("Her2Installed.groovy")
        return new File(source.toURI()).getParentFile().getParentFile()
    }

    /** What was noted when the scripts were installed; empty where they were not. */
    static Map<String, Object> config() {
        for (File place : [running(), folder()])
            if (place != null && new File(place, CONFIG).isFile())
                return read(new File(place, CONFIG))
        return [:]
    }

    /** The content of a her2.json; empty where there is none. */
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

    /** Note which Python to use from now on. */
    static void usePython(File python) {
        File place = [running(), folder()].find { File it -> it != null && new File(it, CONFIG).isFile() }
        if (place == null)
            throw new Her2Refusal("The scripts are not installed, so there is no place to note the choice of Python. " +
                "Run install.groovy first (drag it onto QuPath, then Run).")
        Map<String, Object> config = new TreeMap<String, Object>(read(new File(place, CONFIG)))
        config.put("python", python.getPath())
        write(place, config)
    }
}
