import com.google.gson.GsonBuilder
import com.google.gson.JsonArray
import com.google.gson.JsonElement
import com.google.gson.JsonObject
import com.google.gson.JsonParseException
import com.google.gson.JsonParser
import groovy.transform.CompileStatic
import java.nio.charset.StandardCharsets

/**
 * Reads and writes JSON files, and reads members that may be missing or null.
 */
@CompileStatic
class Her2Json {

    /** Read the object in a file; `remedy` ends the error message if there is none. */
    static JsonObject read(File file, String remedy) {
        String text
        try {
            text = file.getText(StandardCharsets.UTF_8.name())
        } catch (IOException problem) {
            throw new Her2Refusal("'$file' cannot be read (${problem.message}). $remedy")
        }
        JsonElement found
        try {
            found = JsonParser.parseString(text)
        } catch (JsonParseException problem) {
            throw new Her2Refusal("'$file' is not JSON (${problem.message}). $remedy")
        }
        if (!found.isJsonObject())
            throw new Her2Refusal("'$file' contains no JSON object. $remedy")
        return found.getAsJsonObject()
    }

    /** The bytes of a JSON file: sorted keys; nulls are kept, as they mean "not known". */
    static byte[] bytes(Map<String, ?> content) {
        String text = new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().serializeNulls().create()
            .toJson(sorted(content))
        return (text + "\n").getBytes(StandardCharsets.UTF_8)
    }

    private static Object sorted(Object value) {
        if (value instanceof JsonObject)
            return sorted(value.asMap())
        if (value instanceof JsonArray)
            return value.asList().collect { sorted(it) }
        if (value instanceof Map) {
            Map<String, Object> result = new TreeMap<String, Object>()
            for (Map.Entry<?, ?> item : ((Map<?, ?>) value).entrySet())
                result[item.key.toString()] = sorted(item.value)
            return result
        }
        return value instanceof List ? ((List<?>) value).collect { sorted(it) } : value
    }

    /** Refuse a file whose format is not 1. */
    static void checkFormat(JsonObject content, File file, String remedy) {
        Double format = number(content, "format")
        if (format == 1.0d)
            return
        if (format != null && format > 1)
            throw new Her2Refusal("'$file' has format ${content.get('format')}, but this version reads format 1: it " +
                "was written by a newer qupath-her2. Install the scripts of that version (qupath-her2 " +
                "install-scripts), then run this again.")
        throw new Her2Refusal("'$file' has format ${content.get('format')}, but this version reads format 1. $remedy")
    }

    static String text(JsonObject object, String name) {
        JsonElement value = object.get(name)
        return value == null || !value.isJsonPrimitive() ? null : value.getAsString()
    }

    static Double number(JsonObject object, String name) {
        JsonElement value = object.get(name)
        if (value == null || !value.isJsonPrimitive() || !value.getAsJsonPrimitive().isNumber())
            return null
        return value.getAsDouble()
    }

    /** The member `name`; an empty object if there is none. */
    static JsonObject object(JsonObject object, String name) {
        JsonElement value = object.get(name)
        return value == null || !value.isJsonObject() ? new JsonObject() : value.getAsJsonObject()
    }

    /** The member `name`; an empty array if there is none. */
    static JsonArray array(JsonObject object, String name) {
        JsonElement value = object.get(name)
        return value == null || !value.isJsonArray() ? new JsonArray() : value.getAsJsonArray()
    }

    static List<String> texts(JsonObject object, String name) {
        List<String> found = []
        for (JsonElement value : array(object, name))
            found.add(value.getAsString())
        return found
    }
}
