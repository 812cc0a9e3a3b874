import com.google.gson.JsonObject
import com.google.gson.JsonParseException
import com.google.gson.JsonParser
import groovy.transform.CompileStatic
import java.nio.charset.StandardCharsets
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

    final String url
    /** The version of qupath-her2. */
    final String version
    private final String token

    private Her2Service(String url, String token, String version) {
        this.url = url
        this.token = token
        this.version = version
    }

    /** The service that runs for this user; null if none answers. Throws Her2Refusal if it is of another version. */
    static Her2Service find() {
        File file = new File(folder(), FILE)
        if (!file.isFile())
            return null
        JsonObject known = Her2Json.read(file, "Delete it and start the service again.")
        String url = Her2Json.text(known, "url")
        JsonObject health = health(url)
        // Another program may have been given the port of a service that was killed.
        if (health == null || Her2Json.number(health, "pid") != Her2Json.number(known, "pid"))
            return null
        String version = Her2Json.text(health, "version")
        if (Her2Json.text(health, "api") != API)
            throw new Her2Refusal("The service that runs is of another version of qupath-her2 ($version) than these " +
                "scripts. End it, then install scripts and package of the same version.")
        return new Her2Service(url, Her2Json.text(known, "token"), version)
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
     * Her2Result reads. Throws Her2Refusal with the service's own words.
     *
     * @param field see POST /api/v1/fields: `path` or `project` and `image`; `rectangle` or `polygon`; `options`
     */
    File scoreField(Map<String, ?> field, File folder) {
        HttpURLConnection call = open("/api/v1/fields", ANSWER_MS)
        try {
            call.setRequestMethod("POST")
            call.setDoOutput(true)
            call.setRequestProperty("Content-Type", "application/json")
            call.setRequestProperty("Accept", "application/zip")
            call.getOutputStream().withCloseable { OutputStream it -> it.write(Her2Json.bytes(field)) }
            if (call.getResponseCode() != HttpURLConnection.HTTP_OK)
                throw refusal(call)
            return call.getInputStream().withCloseable { InputStream it -> unpacked(it, folder) }
        } catch (IOException problem) {
            throw new Her2Refusal("The service does not answer any more (${problem.message}). Start it again.")
        } finally {
            call.disconnect()
        }
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

    private static Her2Refusal refusal(HttpURLConnection call) {
        try {
            JsonObject said = json(call.getErrorStream())
            String words = "${Her2Json.text(said, 'error')} ${Her2Json.text(said, 'advice') ?: ''}".trim()
            return new Her2Refusal(words)
        } catch (JsonParseException | IllegalStateException | NullPointerException ignored) {
            return new Her2Refusal("The service answered with status ${call.getResponseCode()}.")
        }
    }

    /** Unpack a run below a folder, by the last name of each entry alone, so that none leads elsewhere. */
    private static File unpacked(InputStream stream, File folder) {
        File run = null
        ZipInputStream archive = new ZipInputStream(new BufferedInputStream(stream))
        ZipEntry entry
        while ((entry = archive.getNextEntry()) != null) {
            File named = new File(entry.getName())
            run = new File(folder, named.getParentFile().name)
            run.mkdirs()
            new File(run, named.name).withOutputStream { OutputStream it -> archive.transferTo(it) }
        }
        if (run == null)
            throw new Her2Refusal("The service sent no run. Start it again.")
        return run
    }
}
