import com.google.gson.JsonElement
import com.google.gson.JsonObject
import groovy.transform.CompileStatic

/**
 * An object that people left in different states, as `review conflicts --json` says it.
 */
@CompileStatic
class Her2Conflict {

    final int number
    /** Folder name of the image in the exchange folder. */
    final String image
    final String kind
    /** Centre, px; NaN where it has none. */
    final double x
    final double y
    final List<State> states

    Her2Conflict(JsonObject content) {
        number = Her2Json.number(content, "number").intValue()
        image = Her2Json.text(content, "image")
        kind = Her2Json.text(content, "kind")
        x = coordinate(content, "x")
        y = coordinate(content, "y")
        states = Her2Json.array(content, "states").collect { JsonElement it -> new State(it.getAsJsonObject()) }
    }

    private static double coordinate(JsonObject content, String name) {
        String text = Her2Json.text(content, name)
        return text ? Double.parseDouble(text) : Double.NaN
    }

    boolean hasPlace() {
        return !Double.isNaN(x) && !Double.isNaN(y)
    }

    @Override
    String toString() {
        return "$number: $kind, " + states.collect { State it -> "${it.author} ${it.words()}" }.join("; ")
    }

    /** What one person made of it. */
    @CompileStatic
    static final class State {

        final String author
        final String time
        /** Outline as GeoJSON; null where this person left none of her own. */
        final JsonObject geometry
        private final String change
        private final String after

        State(JsonObject content) {
            author = Her2Json.text(content, "author")
            time = Her2Json.text(content, "time")
            change = Her2Json.text(content, "change")
            after = Her2Json.text(content, "after")
            geometry = content.get("geometry")?.isJsonObject() ? content.getAsJsonObject("geometry") : null
        }

        String words() {
            return after ? "$change: $after".toString() : change
        }
    }
}
