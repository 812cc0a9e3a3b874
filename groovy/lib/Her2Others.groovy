import groovy.transform.CompileStatic
import qupath.lib.objects.PathObject

/**
 * Other people's cells that results speak of: classified in place, and given back the class they had, unless a
 * person changed them since.
 */
@CompileStatic
class Her2Others {

    /** Cells to classify, each with its row. */
    final Map<PathObject, Integer> classified = new LinkedHashMap<PathObject, Integer>()
    /** Cells that get their earlier class back. */
    final Map<PathObject, Her2Earlier> restored = new LinkedHashMap<PathObject, Her2Earlier>()
    /** What the image will remember of their classes. */
    final Map<UUID, Her2Earlier> after = new LinkedHashMap<UUID, Her2Earlier>()
    /** Cells that a person changed since, and measured cells that are not in the image any more. */
    int edited
    int missing

    private final Her2Census census
    private final Map<UUID, Her2Earlier> before

    Her2Others(Her2Census census, Map<UUID, Her2Earlier> before) {
        this.census = census
        this.before = before
    }

    /** Those that the result measured get its classes; those of an earlier result alone get theirs back. */
    void classify(Her2Cells cells) {
        Set<UUID> met = new HashSet<UUID>()
        int n = cells == null ? 0 : cells.count
        for (int row = 0; row < n; row++) {
            UUID id = cells.uuid.uuid(row)
            if (Her2Ids.isOurs(id))
                continue
            met.add(id)
            if (census.twice.contains(id))
                throw new Her2Refusal("Two objects have the UUID $id of a measured cell, so it cannot be said which " +
                    "one was measured. In QuPath: Objects > Refresh duplicate object IDs; then export and score " +
                    "again. Nothing was written.")
            PathObject cell = census.cells.get(id)
            if (cell == null)
                missing++
            else
                classified.put(cell, row)
        }
        if (missing > 0 && classified.isEmpty())
            throw new Her2Refusal("None of the ${missing} measured cells is in the image any more. Nothing was " +
                "written. Export and score the image again.")
        for (Map.Entry<PathObject, Integer> entry : classified.entrySet())
            rememberEarlier(entry.key, cells, entry.value)
        giveBack(met)
    }

    private void rememberEarlier(PathObject cell, Her2Cells cells, int row) {
        Her2Earlier known = before.get(cell.getID())
        if (known != null && !known.isUnchanged(cell)) {
            edited++
            after.put(cell.getID(), known)
            return
        }
        Her2Earlier earlier = known ?: Her2Earlier.of(cell)
        int code = cells.classCode(row)
        after.put(cell.getID(), new Her2Earlier(before: earlier.before, probability: earlier.probability,
            colour: earlier.colour, given: code < 0 ? earlier.before : cells.classNames[code]))
    }

    /** Cells that we classified once and that are not in `met`: they get their class back, unless changed since. */
    void giveBack(Set<UUID> met) {
        for (Map.Entry<UUID, Her2Earlier> entry : before.entrySet()) {
            PathObject cell = census.cells.get(entry.key)
            if (cell != null && !met.contains(entry.key) && entry.value.isUnchanged(cell))
                restored.put(cell, entry.value)
        }
    }

    /** The class a cell is to have; null to leave it as it is. */
    Her2Earlier wantedFor(PathObject cell) {
        Her2Earlier known = before.get(cell.getID())
        return known != null && !known.isUnchanged(cell) ? null : after.get(cell.getID())
    }
}
