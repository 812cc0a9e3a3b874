import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.math.RoundingMode

/**
 * Score and sentence of a histogram of cells, as qupath_her2/scoring/reason.py words it; without the guideline and the
 * notes that a stored score adds.
 */
@CompileStatic
class Her2ScoreWords {

    private static final List<String> SCORES = ["0", "1+", "2+", "3+"].asImmutable()
    /** Two-sided 95 % quantile of the normal distribution. */
    private static final double Z = 1.959963984540054d
    private static final double QUANTILE = 0.975d
    private static final String NOTE = "Research use only."

    private final Her2GuidelineTable guideline
    private final int minCells
    private final double noiseFloor
    private final Her2Ish ish
    private long falseCallsOf = -1
    private long falseCalls

    Her2ScoreWords(Her2GuidelineTable guideline, JsonObject scoring, JsonObject caseInfo) {
        this.guideline = guideline
        minCells = (Her2Json.number(scoring, "min_cells") ?: 100.0d).intValue()
        noiseFloor = Her2Json.number(scoring, "noise_floor") ?: 0.0d
        ish = new Her2Ish(caseInfo)
    }

    /** Score and sentence; `clusters` as in `Her2GuidelineTable.decide`. */
    Verdict verdict(long[] counts, int[] clusters) {
        long n = Her2GuidelineTable.sum(counts, 0xFFFF)
        if (n < minCells)
            return new Verdict(null, "Not assessable: ${whole(n)} measured tumour cells are too few (at least " +
                "${whole(minCells)} needed). $NOTE")
        Her2GuidelineTable.Row row = guideline.decide(counts, falseCallLimit(n), clusters)
        String score = SCORES[row == null ? 0 : row.score]
        String text = clusters == null ? shareText(row, counts, n) : clusterText(row, clusters)
        String closing = score == "2+" ? ish.closing(!guideline.key.startsWith("gastric")) : ""
        return new Verdict(score, "$score: $text$closing $NOTE")
    }

    /** The largest number of stained cells that errors of classification alone explain: a binomial quantile. */
    long falseCallLimit(long n) {
        if (noiseFloor == 0.0d)
            return 0
        if (n == falseCallsOf)
            return falseCalls
        double logOdds = Math.log(noiseFloor) - Math.log1p(-noiseFloor)
        double logTerm = n * Math.log1p(-noiseFloor)
        double total = Math.exp(logTerm)
        long k = 0
        while (total < QUANTILE && k < n) {
            logTerm += Math.log((double) (n - k)) - Math.log((double) (k + 1)) + logOdds
            k++
            total += Math.exp(logTerm)
        }
        falseCallsOf = n
        falseCalls = k
        return k
    }

    private String shareText(Her2GuidelineTable.Row row, long[] counts, long n) {
        List<Her2GuidelineTable.Row> rows = guideline.rows
        // For a 0, the weakest row is the one that was missed: its cut-off is the one to compare with.
        Her2GuidelineTable.Row cutoff = row ?: rows[rows.size() - 1]
        long stained = row == null ? Her2GuidelineTable.stained(counts) : Her2GuidelineTable.sum(counts, row.pairs)
        boolean isMixed = row != null && Her2GuidelineTable.sum(counts, guideline.strongerPairs(row)) > 0
        String what = row == null ? "any membrane staining" : row.words + (isMixed ? " or stronger" : "")
        double[] interval = wilson(stained, n)
        String limit = "cut-off ${cutoff.kind == 'at least' ? 'at least ' : ''}${cutoff.value} %"
        String cells = n == 1 ? "tumour cell" : "tumour cells"
        String shows = n == 1 && stained == 1 ? "shows" : "show"
        String note = row == null ? "" : row.kind == "up to" ? ", reported as heterogeneous" :
            row.isUncommon ? ", an uncommon pattern" : ""
        return "${percent(stained, n, cutoff.value)} % of ${whole(n)} $cells $shows $what (95 % CI " +
            "${rounded(100 * interval[0], 1)} to ${rounded(100 * interval[1], 1)}; $limit)$note."
    }

    private String clusterText(Her2GuidelineTable.Row row, int[] clusters) {
        List<Her2GuidelineTable.Row> rows = guideline.rows
        if (row == null)
            return "no cluster of ${rows[rows.size() - 1].value} or more stained tumour cells (the largest has " +
                "${Arrays.stream(clusters).max().orElse(0)})."
        int at = rows.findIndexOf { Her2GuidelineTable.Row it -> it.is(row) }
        String stronger = at == 0 ? "" : " or stronger"
        return "a cluster of ${whole(clusters[at])} tumour cells shows ${row.words}$stronger (${row.value} or more " +
            "needed)."
    }

    /** Wilson's score interval of a proportion (doi 10.1080/01621459.1927.10502953). */
    private static double[] wilson(long k, long n) {
        double share = (double) k / n
        double scale = 1 + Z * Z / n
        double centre = (share + Z * Z / (2 * n)) / scale
        double half = Z * Math.sqrt(share * (1 - share) / n + Z * Z / (4.0d * n * n)) / scale
        double low = k == 0 ? 0.0d : Math.max(0.0d, centre - half)
        double high = k == n ? 1.0d : Math.min(1.0d, centre + half)
        return [low, high] as double[]
    }

    /** A percentage with more decimals where rounding would print exactly the cut-off. */
    private static String percent(long k, long n, int limit) {
        double value = (double) (100 * k) / n
        for (int decimals = 1; decimals <= 3; decimals++) {
            String text = rounded(value, decimals)
            if (100 * k == limit * n || Double.parseDouble(text) != limit)
                return text
        }
        return rounded(value, 6)
    }

    private static String rounded(double value, int decimals) {
        return new BigDecimal(value).setScale(decimals, RoundingMode.HALF_EVEN).toPlainString()
    }

    private static String whole(long number) {
        return String.format(Locale.ROOT, "%,d", number)
    }

    /** Score, null where there is none, and the sentence. */
    @CompileStatic
    static final class Verdict {

        final String score
        final String sentence

        Verdict(String score, String sentence) {
            this.score = score
            this.sentence = sentence
        }
    }
}
