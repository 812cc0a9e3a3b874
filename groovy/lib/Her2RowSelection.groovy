import groovy.transform.CompileStatic

/**
 * Selects the rows of a result's table that are added to an image. Where the user edited or deleted an earlier object,
 * no new one is added.
 */
@CompileStatic
class Her2RowSelection {

    /** Rows to add, in increasing order. */
    int[] chosen = new int[0]
    /** Outlines of objects that the user deleted, since the last import or before. */
    final List<float[]> deleted = []
    /** Number of rows that are not added because their place is occupied. */
    int suppressed

    private final Outlines occupied = new Outlines()

    /** Keep an edited object: no new one is added in its place. */
    void keep(float[] ring) {
        occupied.add(ring)
    }

    /**
     * Find the rows of the shown run that are no longer in the image: the user deleted them, provided that others in
     * the same region are left. `known` are the outlines of earlier deletions; `present` are the rows still there.
     */
    void findDeleted(List<float[]> known, Her2Table shown, BitSet present) {
        for (float[] ring : known)
            remember(ring)
        if (shown == null)
            return
        BitSet regionsLeft = new BitSet()
        for (int row = present.nextSetBit(0); row >= 0; row = present.nextSetBit(row + 1))
            regionsLeft.set(shown.regionOf(row))
        for (int row = present.nextClearBit(0); row < shown.count; row = present.nextClearBit(row + 1))
            // In a region with nothing left, all results were cleared: no decision about a single object.
            if (Her2Ids.isOurs(shown.uuid.uuid(row)) && regionsLeft.get(shown.regionOf(row)) &&
                !occupied.contains(shown.x(row), shown.y(row)))
                remember(shown.outline(row))
    }

    private void remember(float[] ring) {
        deleted.add(ring)
        occupied.add(ring)
    }

    /** Choose rows of the result's table (may be null); `staying` are the objects that are already in place. */
    void choose(Her2Table table, Set<UUID> staying) {
        int n = table == null ? 0 : table.count
        int[] found = new int[n]
        int k = 0
        for (int row = 0; row < n; row++) {
            UUID id = table.uuid.uuid(row)
            if (!Her2Ids.isOurs(id) || (!staying.isEmpty() && staying.contains(id)))
                continue
            if (isTaken(table, row))
                suppressed++
            else
                found[k++] = row
        }
        chosen = Arrays.copyOf(found, k)
    }

    /** Whether an object that the user edited or deleted stands for the one in this row. */
    boolean isTaken(Her2Table table, int row) {
        return !occupied.isEmpty() && occupied.contains(table.x(row), table.y(row))
    }

    /**
     * A set of outlines with a fast test whether any of them contains a point.
     */
    @CompileStatic
    static final class Outlines {

        /** Side of a grid square in px: a few cells wide at 40x. Only outlines in the point's square are tested. */
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

        /** Whether any outline contains the point. */
        boolean contains(float x, float y) {
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

        /** Even-odd rule: a ray to the right crosses the outline an odd number of times. */
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
}
