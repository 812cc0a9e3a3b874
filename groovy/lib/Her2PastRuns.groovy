import groovy.transform.CompileStatic
import java.util.function.Function
import org.locationtech.jts.geom.Geometry
import qupath.lib.objects.PathObject

/**
 * The earlier runs of an image whose objects may be in its hierarchy; each is read once.
 */
@CompileStatic
class Her2PastRuns {

    private final File her2
    private final String image
    /** Further folders whose runs count as those of `her2`. */
    private final List<File> more
    private final Map<String, Run> byName = [:]
    private final Map<Long, Run> byKey = [:]
    private final Map<Long, Boolean> others = [:]

    /** `current` is a run that has already been read; null if there is none. */
    Her2PastRuns(File her2, String image, Her2Result current, List<File> more = []) {
        this.her2 = her2
        this.more = more
        this.image = image
        if (current != null)
            byName.put(current.run, new Run(current))
    }

    /** The run of that name; null if it no longer exists or is damaged. */
    Run named(String run) {
        if (run == null)
            return null
        if (!byName.containsKey(run))
            byName.put(run, read(folder { File it -> Her2Exchange.runNamed(it, image, run) }))
        return byName.get(run)
    }

    /** What `find` finds first, in `her2` or in one of the further folders; null where it finds nothing. */
    private File folder(Function<File, File> find) {
        for (File place : [her2] + more) {
            File found = find.apply(place)
            if (found != null)
                return found
        }
        return null
    }

    /** The run that made an object; null if it is unknown. `shown` is the run whose result the image shows. */
    Run runOf(UUID object, String shown) {
        long key = Her2Ids.runKey(object)
        if (!byKey.containsKey(key)) {
            File folder = shown != null && shown.startsWith(Her2Ids.runName(key)) ?
                Her2Exchange.runNamed(her2, image, shown) :
                    folder { File it -> Her2Exchange.runOfKey(it, image, key) }
            byKey.put(key, folder == null ? null : named(folder.name))
        }
        return byKey.get(key)
    }

    /** Whether an object is a result of the other kind, whose runs are in another folder. */
    boolean isOtherKind(UUID object) {
        return others.computeIfAbsent(Her2Ids.runKey(object)) { Long key ->
            (Her2ResultKind.others(her2) - more).any { File it ->
                Her2Exchange.runOfKey(it, image, key) != null
            }
        }
    }

    private static Run read(File folder) {
        if (folder == null)
            return null
        try {
            return new Run(Her2Result.read(folder))
        } catch (Her2Refusal ignored) {
            // A damaged run cannot tell what was edited, so its objects count as the user's, like those of a lost run.
            return null
        }
    }

    /**
     * The objects a run added to the image, compared with those there now: what differs was edited by the user.
     */
    @CompileStatic
    static final class Run {

        private final Her2Result result
        /** Row by serial number; a run that classified existing cells skips the numbers of their rows. */
        private final int[] rowOfNumber
        private final Map<UUID, Integer> rowOfPatch = new HashMap<UUID, Integer>()
        private final Map<UUID, Her2Result.Region> regions = [:]

        Run(Her2Result result) {
            this.result = result
            for (Her2Result.Region region : result.regions)
                regions.put(region.id, region)
            int count = result.cells == null ? 0 : result.cells.count
            rowOfNumber = new int[count]
            Arrays.fill(rowOfNumber, -1)
            for (int row = 0; row < count; row++) {
                UUID id = result.cells.uuid.uuid(row)
                long number = Her2Ids.number(id)
                if (Her2Ids.isOurs(id) && number < count)
                    rowOfNumber[(int) number] = row
            }
            int patches = result.patches == null ? 0 : result.patches.count
            for (int row = 0; row < patches; row++)
                rowOfPatch.put(result.patches.uuid.uuid(row), row)
        }

        Her2Cells cells() {
            return result.cells
        }

        Her2Patches patches() {
            return result.patches
        }

        /** The table that an object comes from; null if the run has no such table. */
        Her2Table table(PathObject object) {
            return object.isTile() ? result.patches : result.cells
        }

        /** Row of a cell or tile in its table; -1 if the run has no such object. */
        int row(PathObject object) {
            if (object.isTile())
                return rowOfPatch.getOrDefault(object.getID(), -1)
            long number = Her2Ids.number(object.getID())
            return number < rowOfNumber.length ? rowOfNumber[(int) number] : -1
        }

        /** Whether the user changed the object's class or outline, or an annotation's name. */
        boolean isEdited(PathObject object, double width, double height) {
            if (object.isAnnotation()) {
                Her2Result.Region region = regions.get(object.getID())
                String className = Her2Classes.nameOf(object.getPathClass())
                if (region == null || className != region.className || object.getName() != region.name)
                    return true
                Geometry shape = object.getROI().getGeometry()
                return !Her2Shapes.same(shape, region.shape, width, height)
            }
            int row = row(object)
            if (row < 0)
                return true
            Her2Table table = table(object)
            int code = table.classCode(row)
            return Her2Classes.nameOf(object.getPathClass()) != (code < 0 ? null : table.classNames.get(code)) ||
                !(object.isTile() || Her2Shapes.isOutline(table.outline(row), object.getROI(), width, height))
        }
    }
}
