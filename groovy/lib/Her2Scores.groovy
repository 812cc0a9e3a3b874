import groovy.transform.CompileStatic

/**
 * The scores of several images as a table, for a dialog in a font of equal widths and for the log.
 */
@CompileStatic
class Her2Scores {

    /** More rows would not fit on a screen; the report lists all. */
    private static final int MAX_ROWS = 30
    private static final int NAME_CHARS = 40

    /** Counts and a row for each outcome of `Her2Scoring.scoreAll`; failures come first, with their reasons. */
    static String table(List<Map<String, Object>> outcomes) {
        List<Map<String, Object>> failed = outcomes.findAll { Map<String, Object> it -> it.get("state") == "failed" }
        int scored = outcomes.count { Map<String, Object> it -> isScored(it) }.intValue()
        List<String> lines = []
        int notReached = outcomes.count { Map<String, Object> it -> isNotReached(it) }.intValue()
        int unscored = outcomes.size() - scored - failed.size() - notReached
        String images = outcomes.size() == 1 ? "1 image" : "${outcomes.size()} images"
        String counts = "$images: $scored scored, $unscored without a score, ${failed.size()} failed" +
            "${notReached == 0 ? '' : ", $notReached not reached before the cancel"}."
        lines.add(counts + " Research use only.")
        for (Map<String, Object> outcome : failed)
            lines.add("${outcome.get('name')}: ${outcome.get('reason')}".toString())
        List<Map<String, Object>> shown = outcomes - failed
        if (shown.isEmpty())
            return lines.join("\n")
        int width = Math.min(NAME_CHARS, shown.collect { Map<String, Object> it -> name(it).length() }.max())
        lines.add("")
        lines.add(row(width, "Image", "Score", "H-score", "Cells"))
        for (Map<String, Object> outcome : shown.take(MAX_ROWS))
            lines.add(row(width, name(outcome), score(outcome), text(outcome, "h_score"),
                text(outcome, "cells")))
        if (shown.size() > MAX_ROWS)
            lines.add("and ${shown.size() - MAX_ROWS} more: Extensions > HER2 > Results > Open report".toString())
        return lines.join("\n")
    }

    private static boolean isScored(Map<String, Object> outcome) {
        return outcome.get("score") != null && outcome.get("score") != "not assessable"
    }

    /** Whether a cancelled run did not come to the image. */
    static boolean isNotReached(Map<String, Object> outcome) {
        return outcome.get("state") == Her2Scoring.NOT_REACHED
    }

    private static String score(Map<String, Object> outcome) {
        return isNotReached(outcome) ? Her2Scoring.NOT_REACHED : text(outcome, "score")
    }

    private static String name(Map<String, Object> outcome) {
        String name = text(outcome, "name")
        return name.length() <= NAME_CHARS ? name : name.substring(0, NAME_CHARS - 1) + "…"
    }

    private static String text(Map<String, Object> outcome, String key) {
        return outcome.get(key)?.toString() ?: ""
    }

    private static String row(int width, String image, String score, String hScore, String cells) {
        return String.format(Locale.ROOT, "%-${width}s  %-14s  %7s  %7s", image, score, hScore, cells).stripTrailing()
    }
}
