import com.google.gson.JsonObject
import groovy.transform.CompileStatic

/**
 * Cut-points on a cell's own membrane, the six numbers of qupath_her2/cells/membrane/grading.py, and the rule by which
 * they grade cells. The rule is that of `grade` there, number by number: densities are compared as doubles,
 * completeness as floats.
 */
@CompileStatic
class Her2CutPoints {

    /** Names of the six numbers in run.json and in a profile, in the order of `values`. */
    static final List<String> NAMES =
        ["faint_od", "moderate_od", "intense_od", "min_completeness", "lateral_from", "complete_from"].asImmutable()
    static final Her2CutPoints BUILT_IN = new Her2CutPoints([0.034d, 0.2d, 0.455d, 0.08d, 0.35d, 0.7d])
    /** Facts of a cell that was not measured. */
    static final byte UNMEASURED = -1
    private static final double MAX_OD = 3
    private static final String AGAIN = "Score the image again."

    final List<Double> values

    Her2CutPoints(List<Double> values) {
        this.values = values.asImmutable()
    }

    /** Those that a run graded its cells with. */
    static Her2CutPoints ofRun(File run) {
        JsonObject settings = Her2Json.object(Her2Json.read(new File(run, "run.json"), AGAIN), "settings")
        return of(Her2Json.object(Her2Json.object(settings, "cells"), "grading"))
    }

    /** Those of an object of a run or a profile; a missing one is the built-in one. */
    static Her2CutPoints of(JsonObject content) {
        List<Double> found = []
        for (int i = 0; i < NAMES.size(); i++)
            found.add(Her2Json.number(content, NAMES[i]) ?: BUILT_IN.values[i])
        return new Her2CutPoints(found)
    }

    /** The same with one number changed; its neighbours stay in order, so that a slider never stops at another. */
    Her2CutPoints with(int index, double value) {
        List<Double> found = new ArrayList<Double>(values)
        found.set(index, value)
        int first = index < 3 ? 0 : 3
        // Densities must rise; shares may be equal.
        double step = index < 3 ? 0.001d : 0
        for (int i = index - 1; i >= first; i--)
            found.set(i, Math.min(found[i], found[i + 1] - step))
        for (int i = index + 1; i < first + 3; i++)
            found.set(i, Math.max(found[i], found[i - 1] + step))
        return new Her2CutPoints(found)
    }

    /** Why scoring would refuse them; null where it would not. */
    String problem() {
        for (int i = 0; i < 6; i++)
            if (!(values[i] >= 0 && values[i] <= (i < 3 ? MAX_OD : 1)))
                return "${NAMES[i]} is ${values[i]}; it must be 0 to ${i < 3 ? '3' : '1'}".toString()
        if (!(values[0] < values[1] && values[1] < values[2]))
            return "faint, moderate and intense must rise"
        return values[3] <= values[4] && values[4] <= values[5] ? null :
            "the smallest stained share, lateral and complete must not fall"
    }

    /** Grade cells: 4 x intensity + pattern, as indices of the Python package, or UNMEASURED. */
    void grade(Her2CellColumns cells, byte[] facts) {
        double faint = values[0], moderate = values[1], intense = values[2]
        float stained = (float) values[3].doubleValue()
        float lateral = (float) values[4].doubleValue()
        float complete = (float) values[5].doubleValue()
        float[] density = cells.density
        float[] completeness = cells.completeness
        boolean[] isLateral = cells.isLateral
        int n = cells.count
        for (int i = 0; i < n; i++) {
            float od = density[i]
            float share = completeness[i]
            if (Float.isNaN(od) || Float.isNaN(share)) {
                facts[i] = UNMEASURED
                continue
            }
            int intensity = od >= intense ? 3 : od >= moderate ? 2 : od >= faint ? 1 : 0
            if (share < stained || intensity == 0)
                facts[i] = (byte) 0
            else
                facts[i] = (byte) (4 * intensity + (share >= complete ? 3 : isLateral[i] && share >= lateral ? 2 : 1))
        }
    }

    @Override
    boolean equals(Object other) {
        return other instanceof Her2CutPoints && ((Her2CutPoints) other).values == values
    }

    @Override
    int hashCode() {
        return values.hashCode()
    }

    /** As a profile and the settings hold them. */
    Map<String, Object> content() {
        Map<String, Object> found = new TreeMap<String, Object>()
        for (int i = 0; i < 6; i++)
            found.put(NAMES[i], values[i])
        return found
    }
}
