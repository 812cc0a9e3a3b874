import groovy.transform.CompileStatic
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject

/**
 * The changes that an import or a removal makes to an image, worked out completely before anything is changed.
 *
 * Our objects are removed if they are as their run made them. One that the user edited stays, and no new object of its
 * kind is added whose centre it contains; the same holds for the outline of one that the user deleted. An object whose
 * run is gone, or that has the user's objects below it, counts as the user's.
 *
 * A score of the image, and its removal, take away the fields too (see Her2ResultKind); a field takes away its own
 * objects alone.
 */
@CompileStatic
class Her2Plan {

    final ImageData<?> image
    /** Null for a removal. */
    final Her2Result result
    final Her2ResultKind kind
    /** The properties that the image will have. */
    final Her2ImageProperties after
    /** Our objects to remove. */
    final List<PathObject> removed = []
    /** Edited objects that stay although their parent is removed: they get another parent. */
    final List<PathObject> orphans = []
    /** Cells of ours that the user reclassified, with the outlines that they had in their result. */
    final List<Kept> keptCells = []
    /** The rows of the result's cells and patches to add. */
    final Her2RowSelection cells = new Her2RowSelection()
    final Her2RowSelection patches = new Her2RowSelection()
    /** The annotation or TMA core of each region of the result; null for an annotation that has to be created. */
    PathObject[] parents = new PathObject[0]
    /** Existing cells to classify, or to give their previous class back. */
    final Her2ExistingCells existing
    /** The user's objects whose measurements of ours are removed. */
    final List<PathObject> measured
    /** Counts for the closing line, by name. */
    final Map<String, Integer> counts = new LinkedHashMap<String, Integer>()

    private final Her2HierarchyScan scan
    private final Her2ImageProperties before
    private final Her2PastRuns runs
    private final Her2ImageSize size
    /** Whether objects of runs that are gone are replaced. They may hold edits of the user that nothing tells of. */
    private final boolean replacesLost
    private final Set<UUID> staying = new HashSet<UUID>()
    private int edited
    private int lost
    private int unchanged
    private int unchangedPatches

    private Her2Plan(ImageData<?> image, Her2PastRuns runs, Her2Result result, Her2ResultKind kind,
            boolean replacesLost = false) {
        this.image = image
        this.replacesLost = replacesLost
        this.kind = kind
        this.result = result
        this.runs = runs
        size = new Her2ImageSize(image)
        before = Her2ImageProperties.of(image, kind)
        after = before.without()
        scan = new Her2HierarchyScan(image.getHierarchy(), wanted())
        measured = kind.field == null ? scan.measured :
            scan.measured.findAll { PathObject it -> it.getID() == kind.field }
        existing = new Her2ExistingCells(scan, before.previousClasses)
    }

    /** Plan the import of a result. `replacesLost` also removes objects of ours whose run is gone. */
    static Her2Plan push(ImageData<?> image, File her2, Her2Result result, boolean replacesLost = false) {
        Her2PastRuns runs = new Her2PastRuns(her2, result.imageId, result, replacedBy(her2))
        Her2Plan plan = new Her2Plan(image, runs, result, Her2ResultKind.of(her2), replacesLost)
        Her2RegionCheck check = new Her2RegionCheck(plan.scan, image)
        plan.parents = check.parents(result, plan.kind.field != null)
        check.compareWithFile(her2, result)
        plan.sortOurs(true)
        plan.findDeleted()
        plan.cells.choose(result.cells, plan.staying)
        plan.patches.choose(result.patches, plan.staying)
        plan.existing.classify(result.cells, { int row -> plan.cells.isTaken(result.cells, row) })
        plan.after.run = result.run
        plan.after.previousClasses = plan.existing.after
        plan.after.deleted = plan.cells.deleted
        plan.after.deletedPatches = plan.patches.deleted
        plan.count()
        return plan
    }

    /** Plan the removal of everything of ours. */
    static Her2Plan removal(ImageData<?> image, File her2, String imageId) {
        Her2PastRuns runs = new Her2PastRuns(her2, imageId, null, replacedBy(her2))
        Her2Plan plan = new Her2Plan(image, runs, null, Her2ResultKind.of(her2))
        plan.sortOurs(false)
        plan.existing.restoreExcept(Collections.<UUID> emptySet())
        plan.count()
        return plan
    }

    /** The folders of the fields that a score of the image replaces. */
    private static List<File> replacedBy(File her2) {
        return Her2ResultKind.of(her2).isScore() ? Her2ResultKind.fields(her2) : []
    }

    /** The number of objects of ours whose run is gone, so that an import keeps them. */
    static int lostIn(ImageData<?> image, File her2, String imageId) {
        return corrections(image, her2, imageId).lost
    }

    /** Find what the user changed in our cells, without changing anything. */
    static Her2Plan corrections(ImageData<?> image, File her2, String imageId) {
        Her2Plan plan = new Her2Plan(image, new Her2PastRuns(her2, imageId, null), null, Her2ResultKind.of(her2))
        plan.sortOurs(false)
        plan.findDeleted()
        return plan
    }

    /** All objects that leave their parents, in hierarchy order, so that an undo restores that order. */
    List<PathObject> leaving() {
        if (orphans.isEmpty())
            return removed
        Set<PathObject> all = Collections.newSetFromMap(new IdentityHashMap<PathObject, Boolean>())
        all.addAll(removed)
        all.addAll(orphans)
        return scan.ours.findAll { PathObject it -> all.contains(it) }
    }

    private Set<UUID> wanted() {
        Set<UUID> found = new HashSet<UUID>(before.previousClasses.keySet())
        int n = result == null || result.cells == null ? 0 : result.cells.count
        for (int row = 0; row < n; row++) {
            UUID id = result.cells.uuid.uuid(row)
            if (!Her2Ids.isOurs(id))
                found.add(id)
        }
        return found
    }

    /** Sort our objects into edited ones, ones already in place, and ones to remove. */
    private void sortOurs(boolean push) {
        boolean sameRun = push && before.run == result.run
        // Annotations first: whether a cell is in place depends on whether its parent annotation stays.
        for (PathObject object : scan.ours)
            if (!object.isDetection())
                sort(object, sameRun)
        for (PathObject object : scan.ours)
            if (object.isDetection())
                sort(object, sameRun)
        for (PathObject object : removed)
            for (PathObject child : object.getChildObjectsAsArray())
                if (staying.contains(child.getID()))
                    orphans.add(child)
    }

    private void sort(PathObject object, boolean sameRun) {
        Her2PastRuns.Run run = runs.runOf(object.getID(), before.run)
        if (run == null && kind.field != null)
            return
        boolean isLost = run == null && !runs.isOtherKind(object.getID())
        if (isLost && replacesLost && !isParentOfOthers(object)) {
            removed.add(object)
            return
        }
        if (run == null || isParentOfOthers(object) || run.isEdited(object, size.width, size.height)) {
            keep(object, run)
        } else if (sameRun && isInPlace(object, run)) {
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

    /** Whether the user's objects are below an object of ours: they would lose their parent if it were removed. */
    private static boolean isParentOfOthers(PathObject object) {
        for (PathObject child : object.getChildObjectsAsArray())
            if (!Her2Ids.isMade(child))
                return true
        return false
    }

    private boolean isInPlace(PathObject object, Her2PastRuns.Run run) {
        return !object.isDetection() ||
            object.getParent() == parents[run.table(object).regionOf(run.row(object))]
    }

    private void keep(PathObject object, Her2PastRuns.Run run) {
        staying.add(object.getID())
        if (run == null && !runs.isOtherKind(object.getID()))
            lost++
        else if (run != null)
            edited++
        if (object.isDetection()) {
            int row = run == null ? -1 : run.row(object)
            float[] ring = row >= 0 ? run.table(object).outline(row) : Her2Shapes.outline(object.getROI())
            (object.isTile() ? patches : cells).keep(ring)
            // One whose run is gone cannot be told from a cell that nobody touched.
            if (run != null && !object.isTile())
                keptCells.add(new Kept(object, ring))
        }
    }

    private void findDeleted() {
        findDeleted(before)
        if (result != null && kind.isScore())
            for (UUID field : Her2ImageProperties.fields(image))
                findDeleted(Her2ImageProperties.of(image, Her2ResultKind.ofField(field)))
    }

    private void findDeleted(Her2ImageProperties shown) {
        Her2PastRuns.Run run = runs.named(shown.run)
        BitSet cellRows = new BitSet()
        BitSet patchRows = new BitSet()
        for (PathObject object : scan.ours) {
            boolean isShown = run != null && object.isDetection() && run.is(runs.runOf(object.getID(), before.run))
            int row = isShown ? run.row(object) : -1
            if (row >= 0)
                (object.isTile() ? patchRows : cellRows).set(row)
        }
        cells.findDeleted(shown.deleted, run?.cells(), cellRows)
        patches.findDeleted(shown.deletedPatches, run?.patches(), patchRows)
    }

    private void count() {
        counts.put("lost", lost)
        if (result != null) {
            counts.put("suppressed", cells.suppressed + patches.suppressed)
            counts.put("missing", existing.missing)
        }
        counts.put("added", cells.chosen.length)
        if (result?.patches != null)
            counts.put("patches", patches.chosen.length + unchangedPatches)
        if (result != null && kind.isProposal)
            counts.put("proposed", result.regions.size())
        counts.put("removed", removed.size())
        counts.put("edited", edited + existing.edited)
        counts.put("classified", existing.classified.size() - existing.ungraded - existing.covered)
        int fields = kind.isScore() && result != null ? Her2ImageProperties.fields(image).size() : 0
        if (fields > 0)
            counts.put("fields", fields)
        if (existing.ungraded > 0)
            counts.put("uncounted", existing.ungraded)
        if (existing.covered > 0)
            counts.put("covered", existing.covered)
        counts.put("restored", existing.restored.size())
        counts.put("unchanged", unchanged)
    }

    /** A cell that stays, and the outline that it had in its result: x, y, x, y, … */
    @CompileStatic
    static final class Kept {

        final PathObject object
        final float[] ring

        Kept(PathObject object, float[] ring) {
            this.object = object
            this.ring = ring
        }
    }
}
