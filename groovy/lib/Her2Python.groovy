import groovy.transform.CompileStatic
import java.nio.charset.StandardCharsets
import java.util.concurrent.TimeUnit

/**
 * A Python with qupath-her2, and how it is started: by a list of arguments, in an environment without what the shell
 * that started QuPath left there, in UTF-8.
 */
@CompileStatic
class Her2Python {

    /** Chooses the Python for one start of QuPath: `-Dqupath_her2.python=FILE`. */
    static final String CHOSEN = "qupath_her2.python"

    private static final int PROBE_S = 60
    private static final String PROBE =
        "import sys, qupath_her2; print('%d.%d' % sys.version_info[:2], qupath_her2.__version__)"
    private static final String INSTALL = "Install it with: pip install qupath-her2 (Python 3.10 or newer), then " +
        "choose that Python: Extensions > HER2 > Set Python…"

    private static Her2Python known

    /** The program. */
    final File program
    /** As `3.11`. */
    final String version
    /** Of qupath-her2. */
    final String packageVersion

    private Her2Python(File program, String version, String packageVersion) {
        this.program = program
        this.version = version
        this.packageVersion = packageVersion
    }

    /** The Python that was chosen, else the first of the usual places; Her2Refusal where there is none. */
    static synchronized Her2Python find() {
        File chosen = chosen()
        if (known != null && known.program.isFile() && (chosen == null || chosen == known.program))
            return known
        known = chosen == null ? search() : ask(chosen)
        return known
    }

    /** What the user chose; null where nothing was chosen. */
    static File chosen() {
        String named = System.getProperty(CHOSEN) ?: (String) Her2Installed.config().get("python")
        return named ? new File(named) : null
    }

    /** The first of the usual places; Her2Refusal where none has it. */
    static Her2Python search() {
        List<File> places = Her2PythonPlaces.here().all()
        for (File program : places) {
            try {
                return ask(program)
            } catch (Her2Refusal ignored) {
                // The next place may have it; that none has is said below, with the places.
                continue
            }
        }
        throw new Her2Refusal("Python with qupath-her2 was not found. Looked at " +
            "${places ? places.join(', ') : 'all usual places'}. $INSTALL")
    }

    /** Ask a Python for its version and that of qupath-her2; Her2Refusal where it has none. */
    static Her2Python ask(File program) {
        if (!program.isFile())
            throw new Her2Refusal("The Python that was chosen, '$program', is not there any more. $INSTALL")
        Process process = launch(program, ["-c", PROBE], new File(System.getProperty("java.io.tmpdir")), true)
        StringBuilder said = new StringBuilder()
        Thread reader = Thread.startDaemon {
            try (Reader stream = process.inputReader(StandardCharsets.UTF_8)) {
                said.append(stream.text)
            } catch (IOException ignored) {
                // The process was ended; what it said so far has been taken.
                return
            }
        }
        if (!process.waitFor(PROBE_S, TimeUnit.SECONDS)) {
            endTree(process)
            throw new Her2Refusal("'$program' did not answer within $PROBE_S s. $INSTALL")
        }
        reader.join(2000)
        String[] words = said.toString().trim().split(" ", 2)
        if (process.exitValue() == 0 && words.length == 2)
            return new Her2Python(program, words[0], words[1])
        List<String> lines = said.toString().readLines().findAll { String it -> it.trim() }
        String last = lines.isEmpty() ? "it said nothing" : lines.last()
        throw new Her2Refusal("'$program' cannot use qupath-her2 ($last). $INSTALL")
    }

    /** Start `python -m qupath_her2 …`; standard error is apart. */
    Process start(List<String> words, File folder) {
        return launch(program, ["-m", "qupath_her2"] + words, folder, false)
    }

    private static Process launch(File program, List<String> words, File folder, boolean isOneStream) {
        ProcessBuilder builder = new ProcessBuilder([program.getPath()] + words)
        builder.directory(folder)
        builder.redirectErrorStream(isOneStream)
        clean(builder.environment(), program)
        try {
            Process process = builder.start()
            process.getOutputStream().close()
            return process
        } catch (IOException problem) {
            throw new Her2Refusal("'$program' cannot be started (${problem.message}). $INSTALL")
        }
    }

    /** Take out what belongs to other Pythons and to QuPath's own Java. */
    static void clean(Map<String, String> environment, File program) {
        environment.keySet().removeIf { String it ->
            String name = it.toUpperCase(Locale.ROOT)
            ["PYTHON", "CONDA", "_CE_", "_JPACKAGE"].any { String start -> name.startsWith(start) } ||
                name in ["VIRTUAL_ENV", "JAVA_TOOL_OPTIONS", "__PYVENV_LAUNCHER__"]
        }
        environment.put("PYTHONUTF8", "1")
        environment.put("PYTHONUNBUFFERED", "1")
        // A folder of images may hold a file that is called like a module.
        environment.put("PYTHONSAFEPATH", "1")
        if (environment.containsKey("Path") || environment.containsKey("SystemRoot")) {
            // conda's libraries on Windows are found by the path only.
            String path = environment.keySet().find { String it -> it.equalsIgnoreCase("PATH") } ?: "Path"
            String own = program.getParentFile().getPath()
            environment.put(path, "$own;$own\\Library\\bin;$own\\Scripts;${environment.get(path) ?: ''}".toString())
        }
    }

    /** End a process and all that it has started. */
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
}
