import groovy.transform.CompileStatic
import java.nio.charset.StandardCharsets
import java.util.concurrent.TimeUnit

/**
 * A Python with qupath-her2: found, checked and started. It is started with a list of arguments, in UTF-8, in an
 * environment cleared of what other Pythons and QuPath's Java set there.
 */
@CompileStatic
class Her2Python {

    /** Property that sets the Python for one session of QuPath: `-Dqupath_her2.python=FILE`. */
    static final String CHOSEN = "qupath_her2.python"

    private static final int PROBE_S = 60
    private static final String PROBE =
        "import sys, qupath_her2; print('%d.%d' % sys.version_info[:2], qupath_her2.__version__)"
    /** The command of qupath-her2, which users take for its Python. */
    private static final String COMMAND = "qupath-her2"
    private static final String INSTALL = "Install it as the README of qupath-her2 says (Python 3.10 or newer), then " +
        "choose its Python: Extensions > HER2 > Set-up > Set Python…"

    private static Her2Python known

    final File program
    /** Python's version, such as `3.11`. */
    final String version
    /** The version of qupath-her2. */
    final String packageVersion

    private Her2Python(File program, String version, String packageVersion) {
        this.program = program
        this.version = version
        this.packageVersion = packageVersion
    }

    /** The chosen Python, else the first one found in the usual places; throws Her2Refusal if there is none. */
    static synchronized Her2Python find() {
        File chosen = chosen()
        if (known != null && known.program.isFile() && (chosen == null || chosen == known.program))
            return known
        known = chosen == null ? search() : check(chosen)
        return known
    }

    /** The Python that the user chose; null if none was chosen. */
    static File chosen() {
        String named = System.getProperty(CHOSEN) ?: (String) Her2Installation.config().get("python")
        return named ? new File(named) : null
    }

    /** The first Python with qupath-her2 in the usual places; throws Her2Refusal if there is none. */
    static Her2Python search() {
        List<File> places = Places.here().all()
        for (File program : places) {
            try {
                return check(program)
            } catch (Her2Refusal ignored) {
                // The next place may have it; if none has, the refusal below lists them all.
                continue
            }
        }
        throw new Her2Refusal("Python with qupath-her2 was not found. Looked in " +
            "${places ? places.join(', ') : 'all usual places'}. $INSTALL")
    }

    /**
     * Check a Python, or the one of a chosen command qupath-her2: its version and that of qupath-her2; throws
     * Her2Refusal if it has none.
     */
    static Her2Python check(File chosen) {
        if (!chosen.isFile())
            throw new Her2Refusal("The chosen Python '$chosen' does not exist any more. $INSTALL")
        File program = chosen.name.toLowerCase(Locale.ROOT).startsWith(COMMAND) ? pythonBeside(chosen) : chosen
        Process process = launch(program, ["-c", PROBE], new File(System.getProperty("java.io.tmpdir")), true)
        StringBuilder output = new StringBuilder()
        Thread reader = Thread.startDaemon {
            try (Reader stream = process.inputReader(StandardCharsets.UTF_8)) {
                output.append(stream.text)
            } catch (IOException ignored) {
                // The process was ended; its output up to then has been read.
                return
            }
        }
        if (!process.waitFor(PROBE_S, TimeUnit.SECONDS)) {
            endTree(process)
            throw new Her2Refusal("'$program' did not answer within $PROBE_S s. $INSTALL")
        }
        reader.join(2000)
        String[] words = output.toString().trim().split(" ", 2)
        if (process.exitValue() == 0 && words.length == 2)
            return new Her2Python(program, words[0], words[1])
        // Other programs answer with usage texts, in frames or without.
        List<String> lines = output.toString().readLines().findAll { String it -> it =~ /\p{L}/ }
        String last = lines.isEmpty() ? "it is no Python" : lines.last().replaceAll(/[\u2500-\u257f]/, "").trim()
        throw new Her2Refusal("'$program' cannot use qupath-her2 ($last). $INSTALL")
    }

    /** The Python of an environment whose command qupath-her2 was chosen: they lie in one folder. */
    private static File pythonBeside(File command) {
        // pipx and uv put a link to the command among the user's programs.
        File folder = command.toPath().toRealPath().toFile().getParentFile()
        for (String name : ["python", "python3", "python.exe", "../python.exe"]) {
            File found = new File(folder, name)
            if (found.isFile())
                return found.toPath().normalize().toFile()
        }
        throw new Her2Refusal("'$command' is the command qupath-her2, and there is no Python in its folder. Choose " +
            "the Python that it was installed with: python.exe on Windows, bin/python elsewhere.")
    }

    /** Start `python -m qupath_her2 …`, with separate standard error. */
    Process start(List<String> arguments, File folder) {
        return launch(program, ["-m", "qupath_her2"] + arguments, folder, false)
    }

    /** Start it to live on after QuPath, with all that it says in a file. */
    Process startApart(List<String> arguments, File log) {
        return launch(program, ["-m", "qupath_her2"] + arguments, log.getParentFile(), true, log)
    }

    private static Process launch(
            File program, List<String> arguments, File folder, boolean mergeErrors, File log = null) {
        ProcessBuilder builder = new ProcessBuilder([program.getPath()] + arguments)
        builder.directory(folder)
        builder.redirectErrorStream(mergeErrors)
        if (log != null)
            builder.redirectOutput(log)
        clean(builder.environment(), program)
        try {
            Process process = builder.start()
            process.getOutputStream().close()
            return process
        } catch (IOException problem) {
            throw new Her2Refusal("'$program' cannot be started (${problem.message}). $INSTALL")
        }
    }

    /** Remove variables that belong to other Pythons and to QuPath's own Java. */
    static void clean(Map<String, String> environment, File program) {
        environment.keySet().removeIf { String it ->
            String name = it.toUpperCase(Locale.ROOT)
            ["PYTHON", "CONDA", "_CE_", "_JPACKAGE"].any { String start -> name.startsWith(start) } ||
                name in ["VIRTUAL_ENV", "JAVA_TOOL_OPTIONS", "__PYVENV_LAUNCHER__"]
        }
        environment.put("PYTHONUTF8", "1")
        environment.put("PYTHONUNBUFFERED", "1")
        // Keeps a file in the image folder that is named like a module from being imported.
        environment.put("PYTHONSAFEPATH", "1")
        if (environment.containsKey("Path") || environment.containsKey("SystemRoot")) {
            // On Windows conda's libraries are found through PATH only.
            String path = environment.keySet().find { String it -> it.equalsIgnoreCase("PATH") } ?: "Path"
            String own = program.getParentFile().getPath()
            environment.put(path, "$own;$own\\Library\\bin;$own\\Scripts;${environment.get(path) ?: ''}".toString())
        }
    }

    /** End a process and all its descendants. */
    static void endTree(Process process) {
        List<ProcessHandle> started = process.descendants().toList()
        process.destroy()
        boolean ended = false
        try {
            ended = process.waitFor(2, TimeUnit.SECONDS)
        } catch (InterruptedException ignored) {
            Thread.currentThread().interrupt()
        }
        if (!ended)
            process.destroyForcibly()
        for (ProcessHandle child : started)
            child.destroyForcibly()
    }

    /**
     * The usual places of a Python with qupath-her2 on each operating system.
     */
    @CompileStatic
    static final class Places {

        /** Name of the package's own environment, as pipx and uv create it. */
        private static final String TOOL = "qupath-her2"
        private static final List<String> FLAVOURS =
            ["miniforge3", "mambaforge", "miniconda3", "anaconda3"].asImmutable()

        private final Map<String, String> environment
        private final File home
        private final File scripts
        private final boolean isWindows

        Places(Map<String, String> environment, File home, File scripts, boolean isWindows) {
            this.environment = environment
            this.home = home
            this.scripts = scripts
            this.isWindows = isWindows
        }

        /** The places of this machine. */
        static Places here() {
            return new Places(System.getenv(), new File(System.getProperty("user.home")), Her2Installation.running(),
                System.getProperty("os.name").toLowerCase(Locale.ROOT).contains("win"))
        }

        /** The Python programs that exist, likeliest first, without duplicates. */
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

        /** Folders of virtual and conda environments. */
        private List<File> environments() {
            List<File> found = aroundScripts()
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

        /**
         * Environments beside the folder of the scripts, as in a checkout, and the one that the scripts are part of, as
         * in an installed package.
         */
        private List<File> aroundScripts() {
            List<File> found = []
            File beside = scripts.getAbsoluteFile().getParentFile()
            for (String name : beside == null ? [] : [".venv", "venv"])
                found.add(new File(beside, name))
            for (File folder = beside; folder != null; folder = folder.getParentFile())
                if (new File(folder, "pyvenv.cfg").isFile())
                    found.add(folder)
            return found
        }

        /** Folders of programs: those in PATH, and those that a program started from the desktop lacks in its PATH. */
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
}
