import groovy.transform.CompileStatic
import qupath.lib.objects.PathObject
import qupath.lib.objects.hierarchy.PathObjectHierarchy

/**
 * What is in a hierarchy now, seen in one walk: objects of ours, people's annotations and cores by UUID, other
 * people's cells that a result speaks of, and everything of theirs that carries a measurement of ours.
 */
@CompileStatic
class Her2Census {

    /** Objects with our tag, in the order of the hierarchy. */
    final List<PathObject> ours = []
    /** People's annotations and TMA cores. */
    final Map<UUID, PathObject> regions = new LinkedHashMap<UUID, PathObject>()
    /** People's detections among those that were asked for. */
    final Map<UUID, PathObject> cells = new HashMap<UUID, PathObject>()
    /** Of `regions` and `cells`, those with measurements that begin with "HER2: ". */
    final List<PathObject> measured = []
    /** UUIDs of `regions` and `cells` that more than one object has. */
    final Set<UUID> twice = new LinkedHashSet<UUID>()

    private final IdentityHashMap<List<String>, Boolean> namesMet = new IdentityHashMap<List<String>, Boolean>()

    Her2Census(PathObjectHierarchy hierarchy, Set<UUID> wanted) {
        visit(hierarchy.getRootObject(), wanted)
    }

    private void visit(PathObject parent, Set<UUID> wanted) {
        for (PathObject object : parent.getChildObjectsAsArray()) {
            UUID id = object.getID()
            if (Her2Ids.isOurs(id))
                ours.add(object)
            else
                look(object, id, wanted)
            if (object.hasChildObjects())
                visit(object, wanted)
        }
    }

    private void look(PathObject object, UUID id, Set<UUID> wanted) {
        PathObject other = null
        if (object.isAnnotation() || object.isTMACore())
            other = regions.put(id, object)
        else if (wanted.contains(id))
            other = cells.put(id, object)
        else
            // A copy that a person made of a cell of ours is theirs, with all that it carries.
            return
        if (other != null)
            twice.add(id)
        if (object.hasMeasurements() && isMeasured(object))
            measured.add(object)
    }

    private boolean isMeasured(PathObject object) {
        List<String> names = object.getMeasurementList().getMeasurementNames()
        // QuPath shares one list of names among thousands of objects.
        Boolean known = namesMet.get(names)
        if (known == null) {
            known = names.any { String name -> name.startsWith(Her2Layer.PREFIX) }
            if (namesMet.size() < 100)
                namesMet.put(names, known)
        }
        return known
    }
}
