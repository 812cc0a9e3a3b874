// Prints QuPath's start-up script and user directory, after setting the start-up script to args[0] if given.
import qupath.lib.gui.prefs.PathPrefs

if (args.length > 0) {
    PathPrefs.startupScriptProperty().set(args[0])
    PathPrefs.savePreferences()
}
println "STARTUP ${PathPrefs.startupScriptProperty().get()} USER ${PathPrefs.userPathProperty().get()}"
