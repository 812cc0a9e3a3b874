import groovy.transform.CompileStatic

/**
 * Where a Python may be that has qupath-her2: chosen by the user, else the usual places of each system.
 */
@CompileStatic
class Her2PythonPlaces {

    /** Names of the package's own environment, as pipx and uv make it. */
    private static final String TOOL = "qupath-her2"
    private static final List<String> FLAVOURS = ["miniforge3", "mambaforge", "miniconda3", "anaconda3"].asImmutable()

    private final Map<String, String> environment
    private final File home
    private final boolean isWindows

    Her2PythonPlaces(Map<String, String> environment, File home, boolean isWindows) {
        this.environment = environment
        this.home = home
        this.isWindows = isWindows
    }

    /** Of this machine. */
    static Her2PythonPlaces here() {
        return new Her2PythonPlaces(System.getenv(), new File(System.getProperty("user.home")),
            System.getProperty("os.name").toLowerCase(Locale.ROOT).contains("win"))
    }

    /** The programs that are there, the likeliest first, each once. */
    List<File> all() {
        Set<File> found = new LinkedHashSet<File>()
        for (File place : environments())
            add(found, isWindows ? new File(place, "python.exe") : new File(place, "bin/python"))
        if (isWindows)
            for (File place : environments())
                add(found, new File(place, "Scripts/python.exe"))
        for (File folder : folders())
            for (String name : isWindows ? ["python.exe"] : ["python3", "python"])
                add(found, new File(folder, name))
        return new ArrayList<File>(found)
    }

    private static void add(Set<File> found, File program) {
        if (program.isFile() && program.canExecute())
            found.add(program)
    }

    /** Folders of whole environments. */
    private List<File> environments() {
        List<File> found = []
        for (String name : ["VIRTUAL_ENV", "CONDA_PREFIX"])
            if (environment.get(name))
                found.add(new File(environment.get(name)))
        for (String place : [".local/share/pipx/venvs/$TOOL", "pipx/venvs/$TOOL", ".local/share/uv/tools/$TOOL",
                             "AppData/Roaming/uv/tools/$TOOL", "Library/Application Support/uv/tools/$TOOL",
                             ".venv", "venv", TOOL] as List<String>)
            found.add(new File(home, place))
        for (String flavour : FLAVOURS) {
            File base = new File(home, flavour)
            found.addAll(below(new File(base, "envs")))
            found.add(base)
        }
        if (isWindows)
            found.addAll(below(new File(home, "AppData/Local/Programs/Python")))
        return found
    }

    /** Folders that hold programs: those of PATH, and those that a program started from the desktop does not see. */
    private List<File> folders() {
        List<String> listed = (environment.get("PATH") ?: "").tokenize(isWindows ? ";" : ":")
        List<File> found = listed.collect { String it -> new File(it) }
        if (!isWindows)
            for (String place : ["/usr/local/bin", "/opt/homebrew/bin", "/usr/bin",
                                 "/Library/Frameworks/Python.framework/Versions/Current/bin"])
                found.add(new File(place))
        return found
    }

    private static List<File> below(File folder) {
        File[] found = folder.listFiles()
        if (found == null)
            return []
        Arrays.sort(found, Collections.reverseOrder())
        return found.findAll { File it -> it.isDirectory() }
    }
}
