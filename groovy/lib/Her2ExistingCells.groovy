import groovy.transform.CompileStatic
import java.util.function.IntPredicate
import qupath.lib.objects.PathObject
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.classes.PathClassTools

/**
 * Existing cells (not ours) that results refer to: they are classified in place, and get their previous class back
 * unless the user changed it since.
 */
@CompileStatic
class Her2ExistingCells {

    /** Cells to classify, with their rows. */
    final Map<PathObject, Integer> classified = new LinkedHashMap<PathObject, Integer>()
    /** Cells that get their previous class back. */
    final Map<PathObject, Her2PreviousClass> restored = new LinkedHashMap<PathObject, Her2PreviousClass>()
    /** The classes to store in the image's properties. */
    final Map<UUID, Her2PreviousClass> after = new LinkedHashMap<UUID, Her2PreviousClass>()
    /** Number of cells that the user changed since, and of measured cells that are no longer in the image. */
    int edited
    int missing
    /** Number of cells that are left without a grade, because nothing was measured in them while others were. */
    int ungraded
    /** Number of cells that are left without a grade, because a cell that the user changed counts in their place. */
    int covered

    private final Her2HierarchyScan scan
    private final Map<UUID, Her2PreviousClass> before

    Her2ExistingCells(Her2HierarchyScan scan, Map<UUID, Her2PreviousClass> before) {
        this.scan = scan
        this.before = before
    }

    /**
     * Classify the cells of a result; cells that only an earlier result classified get their class back. `taken` tells
     * the rows where a cell of ours that the user changed stays: QuPath would count both.
     */
    void classify(Her2Cells cells, IntPredicate taken) {
        Set<UUID> measured = new HashSet<UUID>()
        int n = cells == null ? 0 : cells.count
        for (int row = 0; row < n; row++) {
            UUID id = cells.uuid.uuid(row)
            if (Her2Ids.isOurs(id))
                continue
            measured.add(id)
            if (scan.duplicates.contains(id))
                throw new Her2Refusal("Two objects have the UUID $id of a measured cell, so it is unclear which one " +
                    "was measured. Nothing was written. In QuPath choose Objects > Refresh duplicate object IDs, " +
                    "then export and score the image again.")
            PathObject cell = scan.cells.get(id)
            if (cell == null)
                missing++
            else
                classified.put(cell, row)
        }
        if (missing > 0 && classified.isEmpty())
            throw new Her2Refusal("None of the ${missing} measured cells is in the image any more. Nothing was " +
                "written. Export and score the image again.")
        // Where the whole image was refused, every cell keeps the class that it had.
        boolean isGraded = classified.values().any { Integer row -> cells.classCode(row.intValue()) >= 0 }
        for (Map.Entry<PathObject, Integer> entry : classified.entrySet())
            recordPreviousClass(entry.key, cells, entry.value, isGraded, taken.test(entry.value.intValue()))
        restoreExcept(measured)
    }

    private void recordPreviousClass(PathObject cell, Her2Cells cells, int row, boolean isGraded, boolean isCovered) {
        Her2PreviousClass known = before.get(cell.getID())
        if (known != null && !known.isUnchanged(cell)) {
            edited++
            after.put(cell.getID(), known)
            return
        }
        // A known previous class is kept: the present one may have been given by an earlier run of ours.
        Her2PreviousClass previous = known ?: Her2PreviousClass.of(cell)
        int code = isCovered ? -1 : cells.classCode(row)
        if (isCovered)
            covered++
        else if (code < 0 && isGraded)
            ungraded++
        String given = code >= 0 ? cells.classNames[code] :
            isGraded ? withoutGrade(previous.before) : previous.before
        after.put(cell.getID(), new Her2PreviousClass(before: previous.before, probability: previous.probability,
            colour: previous.colour, given: given))
    }

    /** A class without the grade of intensity that QuPath would count: `Tumor` for `Tumor: 3+`; null for `3+`. */
    private static String withoutGrade(String name) {
        PathClass found = name == null ? null : PathClass.fromString(name, null)
        return found == null ? null : Her2Classes.nameOf(PathClassTools.getNonIntensityAncestorClass(found))
    }

    /** Restore the previous class of cells that are not in `measured`, unless the user changed it since. */
    void restoreExcept(Set<UUID> measured) {
        for (Map.Entry<UUID, Her2PreviousClass> entry : before.entrySet()) {
            PathObject cell = scan.cells.get(entry.key)
            if (cell != null && !measured.contains(entry.key) && entry.value.isUnchanged(cell))
                restored.put(cell, entry.value)
        }
    }

    /** Cells that a person reclassified after we had classified them. */
    List<PathObject> reclassified() {
        List<PathObject> found = []
        for (Map.Entry<UUID, Her2PreviousClass> entry : before.entrySet()) {
            PathObject cell = scan.cells.get(entry.key)
            if (cell != null && !entry.value.isUnchanged(cell))
                found.add(cell)
        }
        return found
    }

    /** The class that a cell gets; null to leave it unchanged. */
    Her2PreviousClass wantedFor(PathObject cell) {
        Her2PreviousClass known = before.get(cell.getID())
        return known != null && !known.isUnchanged(cell) ? null : after.get(cell.getID())
    }
}
