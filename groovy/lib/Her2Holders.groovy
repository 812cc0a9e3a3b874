import groovy.transform.CompileStatic

/**
 * Outlines that hold points: which cells a person has already spoken of, by editing or deleting an earlier one.
 */
@CompileStatic
class Her2Holders {

    /** Side of a square of the grid in px: a few cells wide at 40x. */
    private static final int SQUARE = 64

    private final List<float[]> rings = []
    private final Map<Long, List<float[]>> squares = [:]

    boolean isEmpty() {
        return rings.isEmpty()
    }

    /** Add an outline: x, y, x, y, … */
    void add(float[] ring) {
        rings.add(ring)
        float left = Float.MAX_VALUE, top = Float.MAX_VALUE, right = -Float.MAX_VALUE, bottom = -Float.MAX_VALUE
        for (int i = 0; i + 1 < ring.length; i += 2) {
            left = Math.min(left, ring[i])
            right = Math.max(right, ring[i])
            top = Math.min(top, ring[i + 1])
            bottom = Math.max(bottom, ring[i + 1])
        }
        for (long column = square(left); column <= square(right); column++)
            for (long row = square(top); row <= square(bottom); row++)
                squares.computeIfAbsent(key(column, row)) { new ArrayList<float[]>() }.add(ring)
    }

    /** Whether any outline holds the point. */
    boolean holds(float x, float y) {
        List<float[]> near = squares.get(key(square(x), square(y)))
        if (near == null)
            return false
        for (float[] ring : near)
            if (isInside(ring, x, y))
                return true
        return false
    }

    private static long square(float value) {
        return (long) Math.floor(value / SQUARE)
    }

    private static long key(long column, long row) {
        return (column << 32) ^ (row & 0xFFFFFFFFL)
    }

    /** Even-odd rule (a ray to the right crosses the outline an odd number of times). */
    private static boolean isInside(float[] ring, float x, float y) {
        boolean inside = false
        int n = ring.length
        float beforeX = ring[n - 2], beforeY = ring[n - 1]
        for (int i = 0; i < n; i += 2) {
            float thisX = ring[i], thisY = ring[i + 1]
            if ((thisY > y) != (beforeY > y) &&
                x < (double) (beforeX - thisX) * (y - thisY) / (beforeY - thisY) + thisX)
                inside = !inside
            beforeX = thisX
            beforeY = thisY
        }
        return inside
    }
}
