import groovy.transform.CompileStatic

/**
 * The runs of an image whose objects may lie in its hierarchy, each read once.
 */
@CompileStatic
class Her2Runs {

    private final File her2
    private final String image
    private final Map<String, Her2Past> byName = [:]
    private final Map<Long, Her2Past> byKey = [:]
    private final Map<Long, Boolean> others = [:]

    /** `current` is a run that was read already; null where there is none. */
    Her2Runs(File her2, String image, Her2Result current) {
        this.her2 = her2
        this.image = image
        if (current != null)
            byName.put(current.run, new Her2Past(current))
    }

    /** The run of that name; null where it is not there any more, or damaged. */
    Her2Past named(String run) {
        if (run == null)
            return null
        if (!byName.containsKey(run))
            byName.put(run, read(Her2Exchange.runNamed(her2, image, run)))
        return byName.get(run)
    }

    /** The run that made an object of ours; null where it is not known. `shown` is the run shown in the image. */
    Her2Past past(UUID object, String shown) {
        long key = Her2Ids.runKey(object)
        if (!byKey.containsKey(key)) {
            File folder = shown != null && shown.startsWith(Her2Ids.runName(key)) ?
                Her2Exchange.runNamed(her2, image, shown) : Her2Exchange.runOfKey(her2, image, key)
            byKey.put(key, folder == null ? null : named(folder.name))
        }
        return byKey.get(key)
    }

    /** Whether an object of ours is a result of the other kind, whose runs lie in another folder. */
    boolean isOther(UUID object) {
        return others.computeIfAbsent(Her2Ids.runKey(object)) { Long key ->
            Her2Exchange.runOfKey(Her2Layer.other(her2), image, key) != null
        }
    }

    private static Her2Past read(File folder) {
        if (folder == null)
            return null
        try {
            return new Her2Past(Her2Result.read(folder))
        } catch (Her2Refusal ignored) {
            // A damaged run cannot say what was edited, so its objects are the person's, as those of a lost run.
            return null
        }
    }
}
