import groovy.transform.CompileStatic
import java.nio.charset.StandardCharsets
import java.util.concurrent.TimeUnit

/**
 * The service for one caller: the one that runs, or one that is started for the folders of a project. One that was
 * started here lives on after QuPath, for its next start, and ends by itself when nobody has called for half an hour.
 */
@CompileStatic
class Her2WarmService {

    private static final String LOG = "service.log"
    /** Python, its image libraries and a cold disk. */
    private static final long START_MS = 90_000
    private static final int POLL_MS = 200
    private static final int END_S = 15
    /** A command line has an end; those that are left out are scored without the service. */
    private static final int MOST_ROOTS = 100
    /** A field has few tiles, and other programs want to live. */
    private static final int MOST_THREADS = 4
    private static final String STARTING = "Starting the service; next time about a second"

    /** The service that this session of QuPath started, and the folders that it may read. */
    private static Process started
    private static final Set<String> ROOTS = new LinkedHashSet<String>()

    private final Her2Progress progress
    private final List<File> folders

    /** `folders` are those that the service has to read, the important ones first. */
    Her2WarmService(List<File> folders, Her2Progress progress) {
        this.folders = folders
        this.progress = progress
    }

    /** Score a field, see Her2Service; throws Her2NoService where no service does it. */
    File score(Map<String, ?> field, File into) {
        Her2Service service = running() ?: start()
        try {
            progress.show("Scoring the selection", 0.4d)
            return service.scoreField(field, into, progress)
        } catch (Her2NoService problem) {
            if (!problem.isForbidden || !isOurs(service))
                throw problem
            // This session started it for other folders.
            end()
            return start().scoreField(field, into, progress)
        }
    }

    /** The service that runs; null if there is none, or if one of another version, started here, was ended. */
    private static Her2Service running() {
        Her2Service found = Her2Service.find()
        String mismatch = found?.mismatch(Her2Service.ownVersion())
        if (mismatch == null)
            return found
        if (!isOurs(found))
            throw new Her2NoService(mismatch)
        end()
        return null
    }

    private static boolean isOurs(Her2Service service) {
        // On Windows the program of a virtual environment starts another one, which is the service.
        return started != null && started.isAlive() && (started.pid() == service.pid ||
            started.descendants().anyMatch { ProcessHandle it -> it.pid() == service.pid })
    }

    private static void end() {
        started.destroy()
        if (!started.waitFor(END_S, TimeUnit.SECONDS))
            Her2Python.endTree(started)
        started = null
    }

    private Her2Service start() {
        progress.show(STARTING, 0.1d)
        File state = Her2Service.folder()
        Her2Python python = Her2Python.find()
        File log = new File(state, LOG)
        int threads = Math.min(MOST_THREADS, Runtime.getRuntime().availableProcessors())
        List<String> words = ["serve", "--state", state.getPath(), "--end-when-idle", "--threads", threads.toString()]
        for (String root : roots())
            words.addAll(["--root", root])
        try {
            makePrivate(state)
            started = python.startApart(words, log)
        } catch (Her2Refusal problem) {
            throw new Her2NoService("The service cannot be started: ${problem.message}")
        }
        long latest = System.currentTimeMillis() + START_MS
        while (System.currentTimeMillis() < latest) {
            // Asked before the process: one that found another service has ended, and that one answers.
            boolean isAlive = started.isAlive()
            Her2Service found = running()
            if (found != null)
                return found
            if (!isAlive)
                throw new Her2NoService("The service cannot be started: ${reason(log)}")
            pause()
        }
        end()
        throw new Her2NoService("The service did not answer within ${START_MS.intdiv(1000)} s.")
    }

    /** The folder will hold slides and results: like the service, for the user alone. */
    private static void makePrivate(File folder) {
        if (!folder.mkdirs())
            return
        for (boolean isOwnerOnly : [false, true]) {
            folder.setReadable(isOwnerOnly, isOwnerOnly)
            folder.setWritable(isOwnerOnly, isOwnerOnly)
            folder.setExecutable(isOwnerOnly, isOwnerOnly)
        }
    }

    private void pause() {
        if (progress.getAsBoolean())
            throw new Her2Cancelled()
        try {
            Thread.sleep(POLL_MS)
        } catch (InterruptedException ignored) {
            throw new Her2Cancelled()
        }
    }

    /** The folders that exist, without those inside another; links are followed, as the service follows them. */
    private List<String> roots() {
        List<File> known = ROOTS.collect { String it -> new File(it) } + folders
        List<String> real = known.findAll { File it -> it.isDirectory() }.collect { File it -> it.getCanonicalPath() }
        List<String> found = real.unique(false).findAll { String it ->
            !real.any { String other -> it != other && it.startsWith(other.endsWith(File.separator) ? other :
                other + File.separator) }
        }.take(MOST_ROOTS)
        ROOTS.addAll(found)
        return found
    }

    /** What qupath-her2 said last, from the start of its message. */
    private static String reason(File log) {
        String text = log.isFile() ? log.getText(StandardCharsets.UTF_8.name()).trim() : ""
        int at = text.lastIndexOf("Error: ")
        String said = at >= 0 ? text.substring(at + "Error: ".length()) : text.readLines().takeRight(1).join("")
        return said.replaceAll(/\s+/, " ") ?: "it ended at once"
    }
}
