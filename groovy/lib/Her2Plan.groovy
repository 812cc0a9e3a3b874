import groovy.transform.CompileStatic
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject

/**
 * What a push or a removal would change in an image, worked out whole before anything is touched.
 *
 * An object of ours that is as its run made it goes; one that a person edited stays, and no new cell is added whose
 * nucleus centre it holds; the same for a cell that a person deleted. An object of a run that is not known any more,
 * and one that holds objects of others, is the person's.
 */
@CompileStatic
class Her2Plan {

    final ImageData<?> image
    /** Null for a removal. */
    final Her2Result result
    /** What the image will remember. */
    final Her2Memory after = new Her2Memory()
    /** Objects of ours to take out. */
    final List<PathObject> removed = []
    /** Rows of the result's cells to add, rising. */
    int[] rows = new int[0]
    /** For each region of the result: its annotation or core; null for one that we are to make. */
    PathObject[] parents = new PathObject[0]
    /** People's cells to classify, each with its row. */
    final Map<PathObject, Integer> classified = new LinkedHashMap<PathObject, Integer>()
    /** People's cells that get their earlier class back. */
    final Map<PathObject, Her2Earlier> restored = new LinkedHashMap<PathObject, Her2Earlier>()
    /** People's objects that lose the measurements of ours that they have. */
    final List<PathObject> measured
    /** What to say afterwards: names of counts as in a closing line. */
    final Map<String, Integer> counts = new LinkedHashMap<String, Integer>()

    private final Her2Census census
    private final Her2Memory before
    private final Her2Runs runs
    private final Her2Frame frame
    private final Her2Holders spokenFor = new Her2Holders()
    private final Set<UUID> staying = new HashSet<UUID>()
    private int edited
    private int unchanged

    private Her2Plan(ImageData<?> image, Her2Runs runs, Her2Result result) {
        this.image = image
        this.result = result
        this.runs = runs
        frame = new Her2Frame(image)
        before = Her2Memory.of(image)
        census = new Her2Census(image.getHierarchy(), wanted())
        measured = census.measured
    }

    /** Put a result into an image. */
    static Her2Plan push(ImageData<?> image, File her2, Her2Result result) {
        Her2Plan plan = new Her2Plan(image, new Her2Runs(her2, result.imageId, result), result)
        Her2RegionCheck check = new Her2RegionCheck(plan.census, image)
        plan.parents = check.parents(result)
        check.compareWithFile(her2, result)
        plan.sortOurs(true)
        plan.findDeleted()
        plan.chooseRows()
        plan.classify()
        plan.after.run = result.run
        plan.count()
        return plan
    }

    /** Take everything of ours out of an image. */
    static Her2Plan removal(ImageData<?> image, File her2, String imageId) {
        Her2Plan plan = new Her2Plan(image, new Her2Runs(her2, imageId, null), null)
        plan.sortOurs(false)
        plan.giveBack(Collections.<UUID> emptySet())
        plan.count()
        return plan
    }

    private Set<UUID> wanted() {
        Set<UUID> found = new HashSet<UUID>(before.earlier.keySet())
        int n = result == null || result.cells == null ? 0 : result.cells.count
        for (int row = 0; row < n; row++) {
            UUID id = result.cells.uuid.uuid(row)
            if (!Her2Ids.isOurs(id))
                found.add(id)
        }
        return found
    }

    /** Tell those of our objects that a person changed from those that go, or that are in place already. */
    private void sortOurs(boolean push) {
        boolean sameRun = push && before.run == result.run
        // Annotations first: whether a cell is in place depends on whether the one that holds it stays.
        for (PathObject object : census.ours)
            if (!object.isDetection())
                sort(object, sameRun)
        for (PathObject object : census.ours)
            if (object.isDetection())
                sort(object, sameRun)
    }

    private void sort(PathObject object, boolean sameRun) {
        Her2Past past = runs.past(object.getID(), before.run)
        if (past == null || isHolding(object) || past.isEdited(object, frame.width, frame.height)) {
            keep(object, past)
        } else if (sameRun && isInPlace(object, past)) {
            staying.add(object.getID())
            unchanged++
        } else {
            removed.add(object)
            return
        }
        for (int i = 0; i < parents.length; i++)
            if (result.regions[i].id == object.getID())
                parents[i] = object
    }

    /** Whether objects of others lie below an object of ours: they would have to move if it went. */
    private static boolean isHolding(PathObject object) {
        for (PathObject child : object.getChildObjectsAsArray())
            if (!Her2Ids.isOurs(child.getID()))
                return true
        return false
    }

    private boolean isInPlace(PathObject object, Her2Past past) {
        return !object.isDetection() || object.getParent() == parents[result.cells.regionOf(past.row(object.getID()))]
    }

    private void keep(PathObject object, Her2Past past) {
        staying.add(object.getID())
        if (past != null)
            edited++
        if (object.isDetection()) {
            int row = past == null ? -1 : past.row(object.getID())
            spokenFor.add(row >= 0 ? past.cells().outline(row) : Her2Shapes.outline(object.getROI()))
        }
    }

    /** Cells of the shown run that are not there any more: a person deleted them, if others of the region are left. */
    private void findDeleted() {
        for (float[] ring : before.deleted)
            remember(ring)
        Her2Past past = runs.named(before.run)
        if (past == null || past.cells() == null)
            return
        Her2Cells cells = past.cells()
        BitSet present = new BitSet(cells.count)
        BitSet regionsLeft = new BitSet()
        for (PathObject object : census.ours) {
            int row = runs.past(object.getID(), before.run).is(past) ? past.row(object.getID()) : -1
            if (row >= 0) {
                present.set(row)
                regionsLeft.set(cells.regionOf(row))
            }
        }
        for (int row = present.nextClearBit(0); row < cells.count; row = present.nextClearBit(row + 1))
            // Where nothing is left, the results were cleared, which says nothing of a single cell.
            if (Her2Ids.isOurs(cells.uuid.uuid(row)) && regionsLeft.get(cells.regionOf(row)) &&
                !spokenFor.holds(cells.x(row), cells.y(row)))
                remember(cells.outline(row))
    }

    private void remember(float[] ring) {
        after.deleted.add(ring)
        spokenFor.add(ring)
    }

    private void chooseRows() {
        int n = result.cells == null ? 0 : result.cells.count
        int[] chosen = new int[n]
        int k = 0
        int suppressed = 0
        for (int row = 0; row < n; row++) {
            UUID id = result.cells.uuid.uuid(row)
            if (!Her2Ids.isOurs(id) || (!staying.isEmpty() && staying.contains(id)))
                continue
            if (!spokenFor.isEmpty() && spokenFor.holds(result.cells.x(row), result.cells.y(row)))
                suppressed++
            else
                chosen[k++] = row
        }
        rows = Arrays.copyOf(chosen, k)
        counts.put("suppressed", suppressed)
    }

    /** Other people's cells that the result measured: classified in place, unless a person changed them since. */
    private void classify() {
        int n = result.cells == null ? 0 : result.cells.count
        Set<UUID> met = new HashSet<UUID>()
        int missing = 0
        for (int row = 0; row < n; row++) {
            UUID id = result.cells.uuid.uuid(row)
            if (Her2Ids.isOurs(id))
                continue
            met.add(id)
            PathObject cell = census.cells.get(id)
            if (census.twice.contains(id))
                throw new Her2Refusal("Two objects have the UUID $id of a measured cell, so it cannot be said which one was " +
                    "measured. In QuPath: Objects > Refresh duplicate object IDs; then export and score again. Nothing was written.")
            if (cell == null)
                missing++
            else
                classified.put(cell, row)
        }
        if (missing > 0 && classified.isEmpty())
            throw new Her2Refusal("None of the ${missing} measured cells is in the image any more. Nothing was written. " +
                "Export and score the image again.")
        counts.put("missing", missing)
        for (Map.Entry<PathObject, Integer> entry : classified.entrySet())
            rememberEarlier(entry.key, entry.value)
        giveBack(met)
    }

    private void rememberEarlier(PathObject cell, int row) {
        Her2Earlier known = before.earlier.get(cell.getID())
        if (known != null && !known.isUnchanged(cell)) {
            edited++
            after.earlier.put(cell.getID(), known)
            return
        }
        Her2Earlier earlier = known ?: Her2Earlier.of(cell)
        int code = result.cells.classCode(row)
        after.earlier.put(cell.getID(), new Her2Earlier(before: earlier.before, probability: earlier.probability,
            colour: earlier.colour, given: code < 0 ? earlier.before : result.cells.classNames[code]))
    }

    /** Cells that we classified once and that are not in `met`: they get their class back, unless changed since. */
    private void giveBack(Set<UUID> met) {
        for (Map.Entry<UUID, Her2Earlier> entry : before.earlier.entrySet()) {
            PathObject cell = census.cells.get(entry.key)
            if (cell != null && !met.contains(entry.key) && entry.value.isUnchanged(cell))
                restored.put(cell, entry.value)
        }
    }

    private void count() {
        counts.put("added", rows.length)
        counts.put("removed", removed.size())
        counts.put("edited", edited)
        counts.put("classified", classified.size())
        counts.put("restored", restored.size())
        counts.put("unchanged", unchanged)
    }

    /** The class a cell of a person is to have; null to leave it as it is. */
    Her2Earlier wantedFor(PathObject cell) {
        Her2Earlier wanted = after.earlier.get(cell.getID())
        Her2Earlier known = before.earlier.get(cell.getID())
        return known != null && !known.isUnchanged(cell) ? null : wanted
    }
}
