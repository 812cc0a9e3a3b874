import groovy.transform.CompileStatic

/**
 * Which rows of a result's table an image gets as objects: none where a person has spoken already, by editing or
 * deleting an earlier object there.
 */
@CompileStatic
class Her2Rows {

    /** Rows to add, rising. */
    int[] chosen = new int[0]
    /** Outlines of objects that a person deleted, now or earlier. */
    final List<float[]> deleted = []
    /** How many rows are not added because a person has spoken of their places. */
    int suppressed

    private final Her2Holders spokenFor = new Her2Holders()

    /** An object that a person edited stays. */
    void keep(float[] ring) {
        spokenFor.add(ring)
    }

    /**
     * Find the rows of the shown run that are not there any more: a person deleted them, if others of the region are
     * left. `known` are outlines of earlier deletions; `present` are the rows that are there.
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
            // Where nothing is left, the results were cleared, which says nothing of a single object.
            if (Her2Ids.isOurs(shown.uuid.uuid(row)) && regionsLeft.get(shown.regionOf(row)) &&
                !spokenFor.holds(shown.x(row), shown.y(row)))
                remember(shown.outline(row))
    }

    private void remember(float[] ring) {
        deleted.add(ring)
        spokenFor.add(ring)
    }

    /** Choose rows of the result's table (null where it has none); `staying` are objects that are in place. */
    void choose(Her2Table table, Set<UUID> staying) {
        int n = table == null ? 0 : table.count
        int[] found = new int[n]
        int k = 0
        for (int row = 0; row < n; row++) {
            UUID id = table.uuid.uuid(row)
            if (!Her2Ids.isOurs(id) || (!staying.isEmpty() && staying.contains(id)))
                continue
            if (!spokenFor.isEmpty() && spokenFor.holds(table.x(row), table.y(row)))
                suppressed++
            else
                found[k++] = row
        }
        chosen = Arrays.copyOf(found, k)
    }
}
