import groovy.transform.CompileStatic
import java.util.function.BooleanSupplier
import qupath.lib.images.ImageData
import qupath.lib.measurements.MeasurementList
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.GeometryTools
import qupath.lib.roi.interfaces.ROI

/**
 * Applies a plan to a hierarchy in memory: all of it with one event at the end, or nothing.
 */
@CompileStatic
class Her2Changes {

    /** Among a region's metadata, which QuPath shows below its measurements: a measurement can only be a number. */
    private static final String GUIDELINE = "HER2: guideline"

    private final Her2Plan plan
    private final ImageData<?> image
    private final PathObjectHierarchy hierarchy
    private final PathClass[] cellClasses
    private final PathClass[] patchClasses
    private final PathClass proposedClass
    private final BooleanSupplier cancelled
    private final Her2Undo undo
    /** The parent object of each region of the result, annotations that we create included. */
    private PathObject[] parents = new PathObject[0]

    /**
     * @param cellClasses indexed by the class codes of the result's cells
     * @param patchClasses indexed by the class codes of its patches
     * @param proposedClass the class of proposed regions
     * @param cancelled asked between steps; true undoes everything
     * @param undo collects the steps that undo the changes
     */
    Her2Changes(Her2Plan plan, PathClass[] cellClasses, PathClass[] patchClasses, PathClass proposedClass,
            BooleanSupplier cancelled, Her2Undo undo) {
        this.plan = plan
        this.cellClasses = cellClasses
        this.patchClasses = patchClasses
        this.proposedClass = proposedClass
        this.cancelled = cancelled
        this.undo = undo
        image = plan.image
        hierarchy = image.getHierarchy()
    }

    /** Apply the plan. On an exception the caller must run `undo`, which holds what has been done so far. */
    void apply() {
        boolean wasChanged = image.isChanged()
        parents = allParents()
        // Building the objects takes nearly all of the time, and nothing is changed before it is done.
        PathObject[] cells = plan.cells.chosen.length == 0 ? new PathObject[0] :
            Her2Objects.cells(plan.result.cells, plan.cells.chosen, cellClasses, planes(), cancelled)
        PathObject[] tiles = plan.patches.chosen.length == 0 ? new PathObject[0] :
            Her2Objects.tiles(plan.result.patches, plan.patches.chosen, patchClasses, planes(), cancelled)
        undo.add { image.setChanged(wasChanged) }
        synchronized (hierarchy) {
            // Recorded first, so that the event is fired last when everything is undone.
            undo.add { hierarchy.fireHierarchyChangedEvent(this) }
            PathObject[] newParents = parentsOfOrphans()
            removeFromParents(plan.leaving())
            check()
            addRegions()
            for (int i = 0; i < newParents.length; i++)
                add(newParents[i], [plan.orphans[i]])
            addToRegions(tiles, plan.patches.chosen, plan.result?.patches)
            addToRegions(cells, plan.cells.chosen, plan.result?.cells)
            check()
            removeOldMeasurements()
            addMeasurements()
            check()
            setClasses()
            setImageProperties()
            check()
        }
        hierarchy.fireHierarchyChangedEvent(this)
    }

    private void check() {
        if (cancelled.getAsBoolean())
            throw new Her2Cancelled()
    }

    /** The parents of the plan, with a new annotation for each region that is ours. */
    private PathObject[] allParents() {
        PathObject[] found = plan.parents.clone()
        for (int i = 0; i < found.length; i++)
            if (found[i] == null)
                found[i] = annotation(plan.result.regions[i])
        return found
    }

    private PathObject annotation(Her2Result.Region region) {
        PathObject made = PathObjects.createAnnotationObject(
            GeometryTools.geometryToROI(region.shape, ImagePlane.getDefaultPlane()),
            region.className == null ? null : proposedClass)
        made.setID(region.id)
        made.setName(region.name)
        return made
    }

    private ImagePlane[] planes() {
        ImagePlane[] planes = new ImagePlane[parents.length]
        for (int i = 0; i < planes.length; i++)
            planes[i] = parents[i].getROI().getImagePlane()
        return planes
    }

    /** The new parent of each orphan: the smallest scored region that contains it, or the root. */
    private PathObject[] parentsOfOrphans() {
        PathObject[] newParents = new PathObject[plan.orphans.size()]
        for (int i = 0; i < newParents.length; i++) {
            ROI orphan = plan.orphans[i].getROI()
            newParents[i] = hierarchy.getRootObject()
            for (PathObject region : parents) {
                boolean isSmaller = newParents[i].isRootObject() ||
                    region.getROI().getArea() < newParents[i].getROI().getArea()
                if (isSmaller && region.getROI().contains(orphan.getCentroidX(), orphan.getCentroidY()))
                    newParents[i] = region
            }
        }
        return newParents
    }

    private void removeFromParents(List<PathObject> objects) {
        for (Map.Entry<PathObject, List<PathObject>> entry : byParent(objects).entrySet()) {
            PathObject parent = entry.key
            List<PathObject> children = entry.value
            undo.add { parent.addChildObjects(children) }
            parent.removeChildObjects(children)
        }
    }

    private static Map<PathObject, List<PathObject>> byParent(List<PathObject> objects) {
        Map<PathObject, List<PathObject>> found = new LinkedHashMap<PathObject, List<PathObject>>()
        PathObject last = null
        List<PathObject> children = null
        for (PathObject object : objects) {
            PathObject parent = object.getParent()
            if (!parent.is(last)) {
                children = found.computeIfAbsent(parent) { new ArrayList<PathObject>() }
                last = parent
            }
            children.add(object)
        }
        return found
    }

    private void addRegions() {
        List<PathObject> made = []
        for (int i = 0; i < parents.length; i++)
            if (plan.parents[i] == null)
                made.add(parents[i])
        add(hierarchy.getRootObject(), made)
    }

    private void addToRegions(PathObject[] made, int[] rows, Her2Table table) {
        if (parents.length == 1) {
            add(parents[0], Arrays.asList(made))
            return
        }
        List<List<PathObject>> children = []
        for (PathObject ignored : parents)
            children.add(new ArrayList<PathObject>())
        for (int i = 0; i < made.length; i++)
            children[table.regionOf(rows[i])].add(made[i])
        for (int i = 0; i < parents.length; i++)
            add(parents[i], children[i])
    }

    private void add(PathObject parent, List<PathObject> children) {
        if (children.isEmpty())
            return
        undo.add { parent.removeChildObjects(children) }
        parent.addChildObjects(children)
    }

    /** Remove our measurements of earlier runs from the user's objects. */
    private void removeOldMeasurements() {
        for (PathObject object : plan.measured) {
            MeasurementList list = object.getMeasurementList()
            String[] names = plan.kind.names(list.getMeasurementNames()) as String[]
            rememberMeasurements(list, names)
            list.removeMeasurements(names)
            if (plan.kind.hasScores() && !object.isDetection())
                setGuideline(object, null)
        }
    }

    private void setGuideline(PathObject region, String words) {
        String before = region.getMetadata().get(GUIDELINE)
        undo.add { putGuideline(region, before) }
        putGuideline(region, words)
    }

    private static void putGuideline(PathObject region, String words) {
        if (words == null)
            region.getMetadata().remove(GUIDELINE)
        else
            region.getMetadata().put(GUIDELINE, words)
    }

    private void rememberMeasurements(MeasurementList list, String[] names) {
        double[] values = new double[names.length]
        for (int i = 0; i < names.length; i++)
            values[i] = list.get(names[i])
        undo.add {
            // Removes whatever we added since; the user's own measurements never changed their order.
            list.removeMeasurements(plan.kind.names(list.getMeasurementNames()) as String[])
            for (int i = 0; i < names.length; i++)
                list.put(names[i], values[i])
            list.close()
        }
    }

    private void addMeasurements() {
        for (int i = 0; i < plan.parents.length; i++) {
            MeasurementList list = parents[i].getMeasurementList()
            rememberMeasurements(list, new String[0])
            for (Map.Entry<String, Double> value : plan.result.regions[i].measurements.entrySet())
                list.put(value.key, value.value)
            list.close()
            if (plan.kind.hasScores())
                setGuideline(parents[i], plan.result.guideline())
        }
        if (plan.existing.classified.isEmpty())
            return
        Her2Cells table = plan.result.cells
        Her2Objects.Name names = Her2Objects.Name.chain(table.measurementNames)
        for (Map.Entry<PathObject, Integer> entry : plan.existing.classified.entrySet()) {
            MeasurementList list = entry.key.getMeasurementList()
            rememberMeasurements(list, new String[0])
            Her2Objects.put(table.measurements, entry.value, names, list)
        }
    }

    private void setClasses() {
        for (PathObject cell : plan.existing.classified.keySet()) {
            Her2PreviousClass wanted = plan.existing.wantedFor(cell)
            if (wanted == null)
                continue
            rememberClass(cell)
            int code = plan.result.cells.classCode(plan.existing.classified.get(cell))
            if (code >= 0 && wanted.given == plan.result.cells.classNames[code])
                cell.setPathClass(cellClasses[code])
            else if (wanted.given == wanted.before)
                wanted.restore(cell)
            else
                cell.setPathClass(wanted.given == null ? null : PathClass.fromString(wanted.given, null))
        }
        for (Map.Entry<PathObject, Her2PreviousClass> entry : plan.existing.restored.entrySet()) {
            rememberClass(entry.key)
            entry.value.restore(entry.key)
        }
    }

    private void rememberClass(PathObject cell) {
        Her2PreviousClass now = Her2PreviousClass.of(cell)
        undo.add { now.restore(cell) }
    }

    private void setImageProperties() {
        for (Map.Entry<String, Object> entry : plan.after.properties().entrySet()) {
            String key = entry.key
            Object before = image.getProperty(key)
            undo.add { setImageProperty(key, before) }
            setImageProperty(key, entry.value)
        }
    }

    private void setImageProperty(String key, Object value) {
        if (value == null)
            image.removeProperty(key)
        else
            image.setProperty(key, value)
    }
}
