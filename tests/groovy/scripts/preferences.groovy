// Says which start-up script and user folder QuPath has; sets the start-up script first where args[0] names one.
import qupath.lib.gui.prefs.PathPrefs

if (args.length > 0) {
    PathPrefs.startupScriptProperty().set(args[0])
    PathPrefs.savePreferences()
}
println "STARTUP ${PathPrefs.startupScriptProperty().get()} USER ${PathPrefs.userPathProperty().get()}"
