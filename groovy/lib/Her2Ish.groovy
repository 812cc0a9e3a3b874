import com.google.gson.JsonObject
import groovy.transform.CompileStatic

/**
 * ISH values of a case read with a 2+, as qupath_her2/scoring/ish.py reads them (ASCO/CAP breast 2018, affirmed 2023).
 */
@CompileStatic
class Her2Ish {

    private static final double RATIO_CUT = 2.0d
    private static final double LOW_COPIES = 4.0d
    private static final double HIGH_COPIES = 6.0d
    private static final String NEEDED = " ISH is needed."
    /** What each dual-probe group says of a 2+. */
    private static final Map<Integer, String> GROUPS = [
        1: "positive", 2: "negative if a recount confirms it", 3: "positive if a recount confirms it",
        4: "negative if a recount confirms it", 5: "negative",
    ].asImmutable()

    private final Double ratio
    private final Double copies

    Her2Ish(JsonObject caseInfo) {
        ratio = Her2Json.number(caseInfo, "her2_cep17_ratio")
        copies = Her2Json.number(caseInfo, "her2_copies")
    }

    /** The end of the sentence of a 2+, with a space before it; the groups are a breast rule. */
    String closing(boolean isBreast) {
        // A ratio alone fits more than one group.
        if (!isBreast || copies == null)
            return NEEDED
        if (ratio != null)
            return " ISH group ${group()}: ${GROUPS.get(group())}."
        if (copies >= HIGH_COPIES)
            return " ISH: positive."
        return copies < LOW_COPIES ? " ISH: negative." : NEEDED
    }

    private int group() {
        if (ratio >= RATIO_CUT)
            return copies >= LOW_COPIES ? 1 : 2
        return copies >= HIGH_COPIES ? 3 : copies >= LOW_COPIES ? 4 : 5
    }
}
