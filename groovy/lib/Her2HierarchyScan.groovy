import groovy.transform.CompileStatic
import qupath.lib.objects.PathObject
import qupath.lib.objects.hierarchy.PathObjectHierarchy

/**
 * The objects of a hierarchy, sorted in one walk: ours, the user's annotations and TMA cores, existing cells that a
 * result refers to, and every user object with a measurement of ours.
 */
@CompileStatic
class Her2HierarchyScan {

    /** Objects with our UUID tag, in hierarchy order, without regions that a person took over. */
    final List<PathObject> ours = []
    /** The user's annotations and TMA cores, by UUID. */
    final Map<UUID, PathObject> regions = new LinkedHashMap<UUID, PathObject>()
    /** Existing cells among those that were asked for, by UUID. */
    final Map<UUID, PathObject> cells = new HashMap<UUID, PathObject>()
    /** Objects of `regions` and `cells` with measurements whose names start with "HER2: ". */
    final List<PathObject> measured = []
    /** UUIDs in `regions` and `cells` that belong to more than one object. */
    final Set<UUID> duplicates = new LinkedHashSet<UUID>()

    private final IdentityHashMap<List<String>, Boolean> namesSeen = new IdentityHashMap<List<String>, Boolean>()

    Her2HierarchyScan(PathObjectHierarchy hierarchy, Set<UUID> wanted) {
        visit(hierarchy.getRootObject(), wanted)
    }

    private void visit(PathObject parent, Set<UUID> wanted) {
        for (PathObject object : parent.getChildObjectsAsArray()) {
            UUID id = object.getID()
            if (Her2Ids.isMade(object))
                ours.add(object)
            else
                addTheirs(object, id, wanted)
            if (object.hasChildObjects())
                visit(object, wanted)
        }
    }

    private void addTheirs(PathObject object, UUID id, Set<UUID> wanted) {
        PathObject other = null
        if (object.isAnnotation() || object.isTMACore())
            other = regions.put(id, object)
        else if (wanted.contains(id))
            other = cells.put(id, object)
        else
            // Any other object is the user's, even a copy of one of our cells with its measurements.
            return
        if (other != null)
            duplicates.add(id)
        if (object.hasMeasurements() && isMeasured(object))
            measured.add(object)
    }

    private boolean isMeasured(PathObject object) {
        List<String> names = object.getMeasurementList().getMeasurementNames()
        // QuPath shares one list of names among thousands of objects, so the answer is kept per list.
        Boolean known = namesSeen.get(names)
        if (known == null) {
            known = names.any { String name -> name.startsWith(Her2ResultKind.PREFIX) }
            if (namesSeen.size() < 100)
                namesSeen.put(names, known)
        }
        return known
    }
}
