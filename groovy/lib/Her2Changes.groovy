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
 * A plan carried out on a hierarchy in memory: all of it and one event, or nothing of it.
 */
@CompileStatic
class Her2Changes {

    private final Her2Plan plan
    private final ImageData<?> image
    private final PathObjectHierarchy hierarchy
    private final PathClass[] cellClasses
    private final PathClass[] patchClasses
    private final BooleanSupplier cancelled
    private final Her2Undo undo
    /** Of every region of the result, those that we make included. */
    private PathObject[] parents = new PathObject[0]

    /**
     * @param cellClasses by the codes of the result's cells
     * @param patchClasses by the codes of its patches
     * @param cancelled asked between steps; true puts everything back
     * @param undo filled with what takes the changes back
     */
    Her2Changes(Her2Plan plan, PathClass[] cellClasses, PathClass[] patchClasses, BooleanSupplier cancelled,
            Her2Undo undo) {
        this.plan = plan
        this.cellClasses = cellClasses
        this.patchClasses = patchClasses
        this.cancelled = cancelled
        this.undo = undo
        image = plan.image
        hierarchy = image.getHierarchy()
    }

    /** Do it. On an exception, what was done is in `undo` and has still to be taken back. */
    void apply() {
        boolean wasChanged = image.isChanged()
        parents = allParents()
        // Building takes nearly all of the time, and nothing is touched before it is done.
        PathObject[] cells = plan.cells.chosen.length == 0 ? new PathObject[0] :
            Her2Objects.cells(plan.result.cells, plan.cells.chosen, cellClasses, planes(), cancelled)
        PathObject[] tiles = plan.patches.chosen.length == 0 ? new PathObject[0] :
            Her2Objects.tiles(plan.result.patches, plan.patches.chosen, patchClasses, planes(), cancelled)
        undo.remember { image.setChanged(wasChanged) }
        synchronized (hierarchy) {
            // Remembered first, so that it comes last when all is taken back.
            undo.remember { hierarchy.fireHierarchyChangedEvent(this) }
            PathObject[] homes = homesOfOrphans()
            takeOut(plan.leaving())
            check()
            putRegions()
            for (int i = 0; i < homes.length; i++)
                put(homes[i], [plan.orphans[i]])
            putBelowRegions(tiles, plan.patches.chosen, plan.result?.patches)
            putBelowRegions(cells, plan.cells.chosen, plan.result?.cells)
            check()
            strip()
            putMeasurements()
            check()
            putClasses()
            putMemory()
            check()
        }
        hierarchy.fireHierarchyChangedEvent(this)
    }

    private void check() {
        if (cancelled.getAsBoolean())
            throw new Her2Cancelled()
    }

    /** The parents of the plan, with an annotation made for each region that is ours. */
    private PathObject[] allParents() {
        PathObject[] found = plan.parents.clone()
        for (int i = 0; i < found.length; i++)
            if (found[i] == null)
                found[i] = annotation(plan.result.regions[i])
        return found
    }

    private static PathObject annotation(Her2Region region) {
        PathObject made = PathObjects.createAnnotationObject(
            GeometryTools.geometryToROI(region.shape, ImagePlane.getDefaultPlane()))
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

    /** Where orphans go: into the smallest scored region that holds them, else to the root. */
    private PathObject[] homesOfOrphans() {
        PathObject[] homes = new PathObject[plan.orphans.size()]
        for (int i = 0; i < homes.length; i++) {
            ROI orphan = plan.orphans[i].getROI()
            homes[i] = hierarchy.getRootObject()
            for (PathObject region : parents) {
                boolean isNearer = homes[i].isRootObject() || region.getROI().getArea() < homes[i].getROI().getArea()
                if (isNearer && region.getROI().contains(orphan.getCentroidX(), orphan.getCentroidY()))
                    homes[i] = region
            }
        }
        return homes
    }

    private void takeOut(List<PathObject> objects) {
        for (Map.Entry<PathObject, List<PathObject>> entry : byParent(objects).entrySet()) {
            PathObject parent = entry.key
            List<PathObject> children = entry.value
            undo.remember { parent.addChildObjects(children) }
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

    private void putRegions() {
        List<PathObject> made = []
        for (int i = 0; i < parents.length; i++)
            if (plan.parents[i] == null)
                made.add(parents[i])
        put(hierarchy.getRootObject(), made)
    }

    private void putBelowRegions(PathObject[] made, int[] rows, Her2Table table) {
        if (parents.length == 1) {
            put(parents[0], Arrays.asList(made))
            return
        }
        List<List<PathObject>> children = []
        for (PathObject ignored : parents)
            children.add(new ArrayList<PathObject>())
        for (int i = 0; i < made.length; i++)
            children[table.regionOf(rows[i])].add(made[i])
        for (int i = 0; i < parents.length; i++)
            put(parents[i], children[i])
    }

    private void put(PathObject parent, List<PathObject> children) {
        if (children.isEmpty())
            return
        undo.remember { parent.removeChildObjects(children) }
        parent.addChildObjects(children)
    }

    /** Take our measurements of earlier runs from people's objects. */
    private void strip() {
        for (PathObject object : plan.measured) {
            MeasurementList list = object.getMeasurementList()
            String[] names = plan.layer.names(list.getMeasurementNames()) as String[]
            rememberMeasurements(list, names)
            list.removeMeasurements(names)
        }
    }

    private void rememberMeasurements(MeasurementList list, String[] names) {
        double[] values = new double[names.length]
        for (int i = 0; i < names.length; i++)
            values[i] = list.get(names[i])
        undo.remember {
            // Whatever was put in between goes; the order of a person's own measurements was never touched.
            list.removeMeasurements(plan.layer.names(list.getMeasurementNames()) as String[])
            for (int i = 0; i < names.length; i++)
                list.put(names[i], values[i])
            list.close()
        }
    }

    private void putMeasurements() {
        for (int i = 0; i < plan.parents.length; i++) {
            MeasurementList list = parents[i].getMeasurementList()
            rememberMeasurements(list, new String[0])
            for (Map.Entry<String, Double> value : plan.result.regions[i].measurements.entrySet())
                list.put(value.key, value.value)
            list.close()
        }
        if (plan.others.classified.isEmpty())
            return
        Her2Cells table = plan.result.cells
        Her2Objects.Name names = Her2Objects.Name.chain(table.measurementNames)
        for (Map.Entry<PathObject, Integer> entry : plan.others.classified.entrySet()) {
            MeasurementList list = entry.key.getMeasurementList()
            rememberMeasurements(list, new String[0])
            Her2Objects.put(table.measurements, entry.value, names, list)
        }
    }

    private void putClasses() {
        for (PathObject cell : plan.others.classified.keySet()) {
            Her2Earlier wanted = plan.others.wantedFor(cell)
            if (wanted == null)
                continue
            rememberClass(cell)
            int code = plan.result.cells.classCode(plan.others.classified.get(cell))
            if (code < 0)
                wanted.restore(cell)
            else
                cell.setPathClass(cellClasses[code])
        }
        for (Map.Entry<PathObject, Her2Earlier> entry : plan.others.restored.entrySet()) {
            rememberClass(entry.key)
            entry.value.restore(entry.key)
        }
    }

    private void rememberClass(PathObject cell) {
        Her2Earlier now = Her2Earlier.of(cell)
        undo.remember { now.restore(cell) }
    }

    private void putMemory() {
        for (Map.Entry<String, Object> entry : plan.after.properties().entrySet()) {
            String key = entry.key
            Object before = image.getProperty(key)
            undo.remember { keepProperty(key, before) }
            keepProperty(key, entry.value)
        }
    }

    private void keepProperty(String key, Object value) {
        if (value == null)
            image.removeProperty(key)
        else
            image.setProperty(key, value)
    }
}
