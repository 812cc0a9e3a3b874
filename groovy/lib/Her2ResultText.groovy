import com.google.gson.JsonElement
import com.google.gson.JsonObject
import groovy.transform.CompileStatic

/**
 * A finished score in words: what the report says of one image, in the order in which a pathologist asks.
 */
@CompileStatic
class Her2ResultText {

    /** Rows shown for regions; more would not fit into a box, and the report has them all. */
    private static final int SHOWN_REGIONS = 12
    private static final int SHOWN_WARNINGS = 5
    private static final List<String> CLASSES = ["Tumor: Negative", "Tumor: 1+", "Tumor: 2+", "Tumor: 3+"]
    private static final String AGAIN = "Score the image again."
    private static final String NOTE = "Research use only."
    /** Start of lines with warnings, which are read from the score. */
    private static final String WARNING = "- "

    /** The result as a sentence, such as `2+: 23.0 % of …`. */
    final String sentence
    /** Guideline, stability and the like, a sentence each. */
    final List<String> notes
    final List<String> warnings
    /** The image and its regions, after a row of headings; empty if no cells were measured. */
    final List<List<String>> table
    /** How the share in the sentence and the percentages of the table belong together; null without a table. */
    final String explanation
    /** Whether the image or one of its regions has a score, so that some cells decide it. */
    final boolean isScored

    private Her2ResultText(File run, List<String> lines, boolean isOfImage) {
        sentence = lines[0]
        JsonObject score = Her2Json.read(new File(run, "score.json"), AGAIN)
        JsonObject regions = Her2Json.object(score, "regions")
        notes = lines.drop(1) + notes(score, sentence)
        Map<String, String> names = names(Her2Json.read(new File(run, "run.json"), AGAIN))
        warnings = Her2Json.texts(score, "warnings")
        table = table(score, regions, names, isOfImage)
        isScored = Her2Json.text(score, "score") != null ||
            regions.keySet().any { String id -> Her2Json.text(Her2Json.object(regions, id), "score") != null }
        explanation = table.isEmpty() ? null : explanation(score, isOfImage)
    }

    /** Read the score of a run; `message` is its sentence, and below it whatever else the script says of it. */
    static Her2ResultText read(File run, String message) {
        return new Her2ResultText(run, linesOf(message), true)
    }

    /** The same for one selected region. */
    static Her2ResultText readSelection(File run, String message) {
        return new Her2ResultText(run, linesOf(message), false)
    }

    private static List<String> linesOf(String message) {
        return message.readLines().findAll { String it -> it && !it.startsWith(WARNING) }
    }

    /**
     * The result of a run as a sentence, such as `2+: 23.0 % of …`, and below it what was set aside, repaired or in
     * doubt. `changed` is a sentence on an earlier result; null for none.
     */
    static String sentence(File run, String changed) {
        JsonObject score = Her2Json.read(new File(run, "score.json"), AGAIN)
        String reason = Her2Json.text(score, "reason") ?: ""
        String head = Her2Json.text(score, "score") ?:
            Her2Json.text(score, "status") == "proposed" ? "" : "Not assessable"
        String sentence = reason.startsWith(head) ? reason : "$head: $reason"
        String noted = sentence.contains(NOTE) ? sentence : "$sentence $NOTE"
        List<String> found = shown(Her2Json.texts(score, "warnings")).collect { String it -> WARNING + it }
        return ([noted] + (changed == null ? [] : [changed]) + found).join("\n")
    }

    private static List<String> notes(JsonObject score, String sentence) {
        List<String> found = []
        String origin = Her2Json.text(score, "guideline_origin")
        String guideline = "Guideline: ${Her2Json.text(score, 'guideline')}${origin ? ' (' + origin + ')' : ''}."
        if (!sentence.contains(guideline))
            found.add(guideline)
        Double cells = Her2Json.number(score, "cells_to_next_score")
        if (cells != null)
            found.add(cells == 1 ? "One cell in another class would change the score." :
                "${count(cells)} cells in other classes would change the score.".toString())
        for (String tag : Her2Json.texts(score, "tags"))
            found.add(tag.substring(0, 1).toUpperCase(Locale.ROOT) + tag.substring(1) + ".")
        return found
    }

    private static List<List<String>> table(
            JsonObject score, JsonObject regions, Map<String, String> names, boolean isOfImage) {
        List<List<String>> rows = []
        if (Her2Json.object(score, "shares").size() == 0)
            return rows
        rows.add(["", "Score", "Cells", "Negative", "1+", "2+", "3+", "H-score"])
        if (isOfImage)
            rows.add(row("Image", score))
        int more = regions.size() - SHOWN_REGIONS
        for (String id : regions.keySet().take(SHOWN_REGIONS))
            rows.add(row(names.get(id) ?: "Region", Her2Json.object(regions, id)))
        if (more > 0)
            rows.add(["and $more more, all in the report".toString(), "", "", "", "", "", "", ""])
        return rows
    }

    private static List<String> row(String name, JsonObject score) {
        JsonObject shares = Her2Json.object(score, "shares")
        String refusal = Her2Json.text(score, "refusal_code")
        List<String> found = [name, Her2Json.text(score, "score") ?: refusal?.replace("_", " ") ?: "none",
                              count(Her2Json.number(score, "n_cells") ?: 0.0d)]
        for (String one : CLASSES) {
            Double share = Her2Json.number(shares, one)
            found.add(share == null ? "" : String.format(Locale.ROOT, "%.1f %%", 100 * share))
        }
        Double hScore = Her2Json.number(score, "h_score")
        found.add(hScore == null ? "" : String.format(Locale.ROOT, "%.1f", hScore))
        return found
    }

    /** The regions' names as shown, by UUID; a region without one has its class and a number. */
    private static Map<String, String> names(JsonObject record) {
        Map<String, String> found = new LinkedHashMap<String, String>()
        int number = 0
        for (JsonElement element : Her2Json.array(record, "regions")) {
            JsonObject region = element.getAsJsonObject()
            String name = Her2Json.text(region, "name")
            number++
            found.put(Her2Json.text(region, "uuid"),
                name ?: "${Her2Json.text(region, 'class') ?: 'Region'} $number".toString())
        }
        return found
    }

    private static String explanation(JsonObject score, boolean isOfImage) {
        String where = isOfImage ? ", in all regions together" : ""
        String whose = isOfImage ?
            "for the image and for each region by itself, as QuPath shows them on its annotation" :
            "as QuPath shows them on the annotation"
        String of = Her2Json.text(score, "score") == null ? "" :
            "The sentence above counts the deciding cells${where}. ".toString()
        return of + "The percentages below are those of the cell classes, $whose; a class can hold other cells than " +
            "the deciding ones."
    }

    private static String count(double number) {
        return String.format(Locale.ROOT, "%,d", Math.round(number))
    }

    /** The warnings to show, and how many more there are. */
    List<String> shownWarnings() {
        return shown(warnings)
    }

    private static List<String> shown(List<String> warnings) {
        int more = warnings.size() - SHOWN_WARNINGS
        List<String> some = warnings.take(SHOWN_WARNINGS)
        return more > 0 ? some + ["$more more, all in the report".toString()] : some
    }
}
