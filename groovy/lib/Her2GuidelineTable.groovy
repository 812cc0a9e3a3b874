import groovy.transform.CompileStatic

/**
 * The guidelines of qupath_her2/scoring/guidelines.py as tables over the 16 pairs of intensity and pattern, and their
 * evaluation as in rules.py: the strongest row that is met gives the score. tests/groovy/test_cut_points.py compares
 * tables, scores and sentences with Python's.
 */
@CompileStatic
class Her2GuidelineTable {

    private static final List<Integer> STAINED = [1, 2, 3].asImmutable()
    private static final int INTENSE_COMPLETE = pairs([3], [3])
    private static final int ANY_COMPLETE = pairs(STAINED, [3])
    private static final int MODERATE_OR_MORE = pairs([2, 3], STAINED)
    private static final int ANY_STAIN = pairs(STAINED, STAINED)

    private static final Row THREE_PLUS = new Row(3, "intense complete staining", INTENSE_COMPLETE, "above", 10, false)
    private static final Row HETEROGENEOUS =
        new Row(2, "intense complete staining", INTENSE_COMPLETE, "up to", 10, true)
    private static final Row ONE_PLUS = new Row(1, "faint incomplete staining", ANY_STAIN, "above", 10, false)

    private static final Map<String, Her2GuidelineTable> BY_KEY = [
        new Her2GuidelineTable("breast-2018", [THREE_PLUS,
            new Row(2, "weak to moderate complete staining", ANY_COMPLETE, "above", 10, false),
            new Row(2, "moderate to intense but incomplete staining", MODERATE_OR_MORE, "above", 10, true),
            HETEROGENEOUS, ONE_PLUS]),
        new Her2GuidelineTable("breast-2013", [THREE_PLUS,
            new Row(2, "incomplete and/or weak to moderate circumferential staining", ANY_COMPLETE | MODERATE_OR_MORE,
                "above", 10, false),
            HETEROGENEOUS, ONE_PLUS]),
        new Her2GuidelineTable("csco-2021", [THREE_PLUS,
            new Row(2, "weak to moderate staining", ANY_COMPLETE | MODERATE_OR_MORE, "above", 10, false),
            HETEROGENEOUS, ONE_PLUS]),
        new Her2GuidelineTable("gastric-resection", gastric("at least", 10)),
        new Her2GuidelineTable("gastric-biopsy", gastric("cluster", 5)),
    ].collectEntries { Her2GuidelineTable it -> [(it.key): it] }.asImmutable() as Map<String, Her2GuidelineTable>

    final String key
    /** Strongest first. */
    final List<Row> rows
    /** Class 0..3 of each pair: 4 x intensity + pattern. */
    final byte[] classOf = new byte[16]

    private Her2GuidelineTable(String key, List<Row> rows) {
        this.key = key
        this.rows = rows.asImmutable()
        for (Row row : rows)
            for (int pair = 0; pair < 16; pair++)
                if (row.holds(pair))
                    classOf[pair] = (byte) Math.max((int) classOf[pair], row.score)
    }

    /** The guideline of this key, such as `breast-2018`; null if there is none. */
    static Her2GuidelineTable of(String key) {
        return BY_KEY.get(key)
    }

    /** The guideline of this name, such as `ASCO/CAP breast 2018/2023`; null if there is none. */
    static Her2GuidelineTable named(String name) {
        return of(Her2Guidelines.NAMES.find { String key, String value -> value == name }?.key)
    }

    static Set<String> keys() {
        return BY_KEY.keySet()
    }

    private static int pairs(List<Integer> intensities, List<Integer> patterns) {
        int found = 0
        for (int intensity : intensities)
            for (int pattern : patterns)
                found |= 1 << (4 * intensity + pattern)
        return found
    }

    private static List<Row> gastric(String kind, int value) {
        return [new Row(3, "strong complete, basolateral or lateral staining", pairs([3], [2, 3]), kind, value, false),
                new Row(2, "weak to moderate complete, basolateral or lateral staining", pairs(STAINED, [2, 3]), kind,
                    value, false),
                new Row(1, "faint staining of part of the membrane", ANY_STAIN, kind, value, false)]
    }

    /** Whether clusters of cells count instead of shares. */
    boolean isByCluster() {
        return rows.any { Row it -> it.kind == "cluster" }
    }

    /**
     * The row that gives the score; null for 0.
     *
     * @param counts cells by pair
     * @param falseCalls stained cells that errors of classification alone may produce
     * @param clusters the largest cluster of each row's cells; null where shares count
     */
    Row decide(long[] counts, long falseCalls, int[] clusters) {
        long n = sum(counts, 0xFFFF)
        for (int i = 0; i < rows.size(); i++) {
            long amount = clusters == null ? sum(counts, rows[i].pairs) : clusters[i]
            if (rows[i].isMet(amount, n, falseCalls))
                return rows[i]
        }
        return null
    }

    /** Cells whose pair is in a set. */
    static long sum(long[] counts, int pairs) {
        long found = 0
        for (int pair = 0; pair < 16; pair++)
            if ((pairs & (1 << pair)) != 0)
                found += counts[pair]
        return found
    }

    /** All cells with a stained membrane. */
    static long stained(long[] counts) {
        return sum(counts, ANY_STAIN)
    }

    /** Pairs of rows that give a higher score than a row, as far as the row counts them too. */
    int strongerPairs(Row row) {
        int above = 0
        for (Row other : rows)
            if (other.score > row.score)
                above |= other.pairs
        // The "up to" row counts the very cells of the 3+ row, in a smaller share: none of them is stronger.
        return row.kind == "up to" ? 0 : above & row.pairs
    }

    /** One row: its score, its words, the pairs that it counts, and the cut-off. */
    @CompileStatic
    static final class Row {

        final int score
        final String words
        final int pairs
        /** `above`, `at least`, `up to` (per cent) or `cluster` (cells). */
        final String kind
        final int value
        final boolean isUncommon

        Row(int score, String words, int pairs, String kind, int value, boolean isUncommon) {
            this.score = score
            this.words = words
            this.pairs = pairs
            this.kind = kind
            this.value = value
            this.isUncommon = isUncommon
        }

        boolean holds(int pair) {
            return (pairs & (1 << pair)) != 0
        }

        boolean isMet(long amount, long n, long falseCalls) {
            long whole = value * n
            switch (kind) {
                case "above":
                    return amount >= whole.intdiv(100) + 1
                case "at least":
                    return amount >= Math.max(1L, (whole + 99).intdiv(100) as long)
                case "cluster":
                    return amount >= value
                default:
                    return amount >= falseCalls + 1 && amount <= whole.intdiv(100)
            }
        }
    }
}
