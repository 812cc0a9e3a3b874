import com.google.gson.JsonObject
import com.google.gson.JsonParseException
import com.google.gson.JsonParser
import groovy.transform.CompileStatic
import java.nio.charset.StandardCharsets
import java.util.concurrent.Callable
import java.util.concurrent.ExecutionException
import java.util.concurrent.FutureTask
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import java.util.function.BooleanSupplier
import java.util.zip.ZipEntry
import java.util.zip.ZipInputStream

/**
 * The service of this user (`qupath-her2 serve`), found by its discovery file: a scorer that is warm already, so that a
 * field of view takes a second and no Python has to be started. qupath_her2/server/discovery.py writes the file.
 */
@CompileStatic
class Her2Service {

    /** Version of the API that this library speaks. */
    static final String API = "1"
    /** Property and environment variable that name the folder of the service. */
    static final String CHOSEN = "qupath_her2.state"
    static final String VARIABLE = "QUPATH_HER2_STATE"

    private static final String FILE = "service.json"
    private static final int CONNECT_MS = 2000
    /** A first field opens the slide and searches its tissue. */
    private static final int ANSWER_MS = 180_000
    private static final int POLL_MS = 50
    /** A field that is larger is no matter of a moment; server/field_limits.py has the same number. */
    static final double MOST_AREA_PX2 = 25_000_000
    private static final String FORBIDDEN = "The service that runs may not read the folders of this project. End it " +
        "where it was started; QuPath then starts one that may."
    /** Answers that are about the field, and would be the same elsewhere: no slide, not to be scored. */
    private static final List<Integer> ABOUT_FIELD = [415, 422].asImmutable()

    final String url
    /** The version of qupath-her2. */
    final String version
    final long pid
    private final String api
    private final String token

    private Her2Service(JsonObject known, JsonObject health) {
        url = Her2Json.text(known, "url")
        token = Her2Json.text(known, "token")
        version = Her2Json.text(health, "version")
        api = Her2Json.text(health, "api")
        pid = Her2Json.number(health, "pid").longValue()
    }

    /** The service that runs for this user, of whatever version; null if none answers. */
    static Her2Service find() {
        File file = new File(folder(), FILE)
        if (!file.isFile())
            return null
        JsonObject known = Her2Json.read(file, "Delete it and start the service again.")
        JsonObject health = health(Her2Json.text(known, "url"))
        // Another program may have been given the port of a service that was killed.
        if (health == null || Her2Json.number(health, "pid") != Her2Json.number(known, "pid"))
            return null
        return new Her2Service(known, health)
    }

    /**
     * Why these scripts do not use the service, in a sentence; null if they do. Another version may score by other
     * rules than every other command of the menu. `own` is the version of the scripts; null where it is not known.
     */
    String mismatch(String own) {
        if (api == API && (own == null || version == own))
            return null
        String scripts = own == null ? "these scripts are of another version" : "these scripts are of $own"
        return "The service that runs is of qupath-her2 $version, and $scripts. End it where it was started, and " +
            "bring package and scripts to the same version (Extensions > HER2 > Set-up > Check set-up)."
    }

    /** The version of the scripts; null where they were not installed, as in a checkout. */
    static String ownVersion() {
        return (String) Her2Installation.config().get("version")
    }

    /** The folder of the service: the one that was named, else the system's place for a user's state. */
    static File folder() {
        String named = System.getProperty(CHOSEN) ?: System.getenv(VARIABLE)
        if (named)
            return new File(named)
        String system = System.getProperty("os.name").toLowerCase(Locale.ROOT)
        return new File(stateFolder(system, System.getenv(), new File(System.getProperty("user.home"))), "qupath-her2")
    }

    /** The place of a system for a user's state, as Python's platformdirs has it. */
    static File stateFolder(String system, Map<String, String> environment, File home) {
        if (system.contains("win"))
            return new File(environment.get("LOCALAPPDATA") ?: new File(home, "AppData/Local").getPath())
        if (system.contains("mac"))
            return new File(home, "Library/Application Support")
        return new File(environment.get("XDG_STATE_HOME") ?: new File(home, ".local/state").getPath())
    }

    /**
     * Score a field of view, and return the folder of its run below `folder`, in the form of the exchange folder that
     * Her2Result reads. Throws Her2Refusal with the service's own words where the field cannot be scored, and
     * Her2NoService where only the service cannot do it.
     *
     * @param field see POST /api/v1/fields: `path`, or `project` and `image`; `rectangle`, `polygon` or `region`;
     *     `options`
     * @param cancelled asked while the service works; true drops the answer
     */
    File scoreField(Map<String, ?> field, File folder, BooleanSupplier cancelled = { false } as BooleanSupplier) {
        HttpURLConnection call = open("/api/v1/fields", ANSWER_MS)
        try {
            FutureTask<byte[]> answer = new FutureTask<byte[]>({ answered(call, field) } as Callable<byte[]>)
            Thread.startDaemon("HER2 field") { answer.run() }
            while (true) {
                if (cancelled.getAsBoolean())
                    throw new Her2Cancelled()
                try {
                    return unpacked(answer.get(POLL_MS, TimeUnit.MILLISECONDS), folder)
                } catch (TimeoutException ignored) {
                    // The service is at work.
                    continue
                }
            }
        } catch (InterruptedException ignored) {
            throw new Her2Cancelled()
        } catch (ExecutionException problem) {
            if (problem.cause instanceof IOException)
                throw new Her2NoService("The service does not answer any more (${problem.cause.message}).")
            throw problem.cause
        } finally {
            call.disconnect()
        }
    }

    private static byte[] answered(HttpURLConnection call, Map<String, ?> field) {
        call.setRequestMethod("POST")
        call.setDoOutput(true)
        call.setRequestProperty("Content-Type", "application/json")
        call.setRequestProperty("Accept", "application/zip")
        call.getOutputStream().withCloseable { OutputStream it -> it.write(Her2Json.bytes(field)) }
        if (call.getResponseCode() != HttpURLConnection.HTTP_OK)
            throw refusal(call)
        return call.getInputStream().withCloseable { InputStream it -> it.readAllBytes() }
    }

    private HttpURLConnection open(String path, int answerMs) {
        HttpURLConnection call = connection(url + path, answerMs)
        call.setRequestProperty("Authorization", "Bearer $token")
        return call
    }

    private static HttpURLConnection connection(String address, int answerMs) {
        // A proxy of the system has no business with this machine's own addresses.
        HttpURLConnection call = (HttpURLConnection) new URI(address).toURL().openConnection(Proxy.NO_PROXY)
        call.setConnectTimeout(CONNECT_MS)
        call.setReadTimeout(answerMs)
        return call
    }

    private static JsonObject health(String url) {
        try {
            HttpURLConnection call = connection("$url/healthz", CONNECT_MS)
            return call.getResponseCode() == HttpURLConnection.HTTP_OK ? json(call.getInputStream()) : null
        } catch (IOException | JsonParseException | IllegalStateException ignored) {
            // Nothing listens there, or something that is no service: the file was left by one that was killed.
            return null
        }
    }

    private static JsonObject json(InputStream stream) {
        return stream.withCloseable { InputStream it ->
            JsonParser.parseReader(new InputStreamReader(it, StandardCharsets.UTF_8)).getAsJsonObject()
        }
    }

    private static RuntimeException refusal(HttpURLConnection call) {
        int status = call.getResponseCode()
        if (status == HttpURLConnection.HTTP_FORBIDDEN)
            return new Her2NoService(FORBIDDEN, true)
        String words
        try {
            JsonObject said = json(call.getErrorStream())
            words = "${Her2Json.text(said, 'error')} ${Her2Json.text(said, 'advice') ?: ''}".trim()
        } catch (JsonParseException | IllegalStateException | NullPointerException ignored) {
            return new Her2NoService("The service answered with status ${status}.")
        }
        return status in ABOUT_FIELD ? new Her2Refusal(words) : new Her2NoService("The service: $words")
    }

    /** Unpack a run below a folder, by the last name of each entry alone, so that none leads elsewhere. */
    private static File unpacked(byte[] answer, File folder) {
        File run = null
        ZipInputStream archive = new ZipInputStream(new ByteArrayInputStream(answer))
        ZipEntry entry
        while ((entry = archive.getNextEntry()) != null) {
            File named = new File(entry.getName())
            run = new File(folder, named.getParentFile().name)
            run.mkdirs()
            new File(run, named.name).withOutputStream { OutputStream it -> archive.transferTo(it) }
        }
        if (run == null)
            throw new Her2NoService("The service sent no result.")
        return run
    }
}
