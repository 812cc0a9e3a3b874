import groovy.transform.CompileStatic
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject

/**
 * What a push or a removal would change in an image, worked out whole before anything is touched.
 *
 * An object of ours that is as its run made it goes; one that a person edited stays, and no new one of its kind is
 * added whose centre it holds; the same for one that a person deleted. An object of a run that is not known any more,
 * and one that holds objects of others, is the person's.
 */
@CompileStatic
class Her2Plan {

    final ImageData<?> image
    /** Null for a removal. */
    final Her2Result result
    final Her2Layer layer
    /** What the image will remember. */
    final Her2Memory after
    /** Objects of ours to take out. */
    final List<PathObject> removed = []
    /** Objects of ours that stay, as a person edited them, but lie below one that goes: they get another parent. */
    final List<PathObject> orphans = []
    /** Of the result's cells and patches: what to add. */
    final Her2Rows cells = new Her2Rows()
    final Her2Rows patches = new Her2Rows()
    /** For each region of the result: its annotation or core; null for one that we are to make. */
    PathObject[] parents = new PathObject[0]
    /** People's cells, to be classified or given back their class. */
    final Her2Others others
    /** People's objects that lose the measurements of ours that they have. */
    final List<PathObject> measured
    /** What to say afterwards: names of counts as in a closing line. */
    final Map<String, Integer> counts = new LinkedHashMap<String, Integer>()

    private final Her2Census census
    private final Her2Memory before
    private final Her2Runs runs
    private final Her2Frame frame
    private final Set<UUID> staying = new HashSet<UUID>()
    private int edited
    private int lost
    private int unchanged
    private int unchangedPatches

    private Her2Plan(ImageData<?> image, Her2Runs runs, Her2Result result, Her2Layer layer) {
        this.image = image
        this.layer = layer
        this.result = result
        this.runs = runs
        frame = new Her2Frame(image)
        before = Her2Memory.of(image, layer)
        after = new Her2Memory(layer)
        census = new Her2Census(image.getHierarchy(), wanted())
        measured = census.measured
        others = new Her2Others(census, before.earlier)
    }

    /** Put a result into an image. */
    static Her2Plan push(ImageData<?> image, File her2, Her2Result result) {
        Her2Plan plan = new Her2Plan(image, new Her2Runs(her2, result.imageId, result), result, Her2Layer.of(her2))
        Her2RegionCheck check = new Her2RegionCheck(plan.census, image)
        plan.parents = check.parents(result)
        check.compareWithFile(her2, result)
        plan.sortOurs(true)
        plan.findDeleted()
        plan.cells.choose(result.cells, plan.staying)
        plan.patches.choose(result.patches, plan.staying)
        plan.others.classify(result.cells)
        plan.after.run = result.run
        plan.after.earlier = plan.others.after
        plan.after.deleted = plan.cells.deleted
        plan.after.deletedPatches = plan.patches.deleted
        plan.count()
        return plan
    }

    /** Take everything of ours out of an image. */
    static Her2Plan removal(ImageData<?> image, File her2, String imageId) {
        Her2Plan plan = new Her2Plan(image, new Her2Runs(her2, imageId, null), null, Her2Layer.of(her2))
        plan.sortOurs(false)
        plan.others.giveBack(Collections.<UUID> emptySet())
        plan.count()
        return plan
    }

    /** All that leaves its parent, in the order of the hierarchy: so they come back where the plan is taken back. */
    List<PathObject> leaving() {
        if (orphans.isEmpty())
            return removed
        Set<PathObject> all = Collections.newSetFromMap(new IdentityHashMap<PathObject, Boolean>())
        all.addAll(removed)
        all.addAll(orphans)
        return census.ours.findAll { PathObject it -> all.contains(it) }
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
        for (PathObject object : removed)
            for (PathObject child : object.getChildObjectsAsArray())
                if (staying.contains(child.getID()))
                    orphans.add(child)
    }

    private void sort(PathObject object, boolean sameRun) {
        Her2Past past = runs.past(object.getID(), before.run)
        if (past == null || isHolding(object) || past.isEdited(object, frame.width, frame.height)) {
            keep(object, past)
        } else if (sameRun && isInPlace(object, past)) {
            staying.add(object.getID())
            if (object.isTile())
                unchangedPatches++
            else
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
        return !object.isDetection() ||
            object.getParent() == parents[past.table(object).regionOf(past.row(object))]
    }

    private void keep(PathObject object, Her2Past past) {
        staying.add(object.getID())
        if (past == null && !runs.isOther(object.getID()))
            lost++
        else if (past != null)
            edited++
        if (object.isDetection()) {
            int row = past == null ? -1 : past.row(object)
            float[] ring = row >= 0 ? past.table(object).outline(row) : Her2Shapes.outline(object.getROI())
            (object.isTile() ? patches : cells).keep(ring)
        }
    }

    private void findDeleted() {
        Her2Past past = runs.named(before.run)
        BitSet cellRows = new BitSet()
        BitSet patchRows = new BitSet()
        for (PathObject object : census.ours) {
            boolean isShown = past != null && object.isDetection() && past.is(runs.past(object.getID(), before.run))
            int row = isShown ? past.row(object) : -1
            if (row >= 0)
                (object.isTile() ? patchRows : cellRows).set(row)
        }
        cells.findDeleted(before.deleted, past?.cells(), cellRows)
        patches.findDeleted(before.deletedPatches, past?.patches(), patchRows)
    }

    private void count() {
        if (result == null) {
            counts.put("lost", lost)
        } else {
            counts.put("suppressed", cells.suppressed + patches.suppressed)
            counts.put("missing", others.missing)
        }
        counts.put("added", cells.chosen.length)
        if (result?.patches != null)
            counts.put("patches", patches.chosen.length + unchangedPatches)
        counts.put("removed", removed.size())
        counts.put("edited", edited + others.edited)
        counts.put("classified", others.classified.size())
        counts.put("restored", others.restored.size())
        counts.put("unchanged", unchanged)
    }
}
