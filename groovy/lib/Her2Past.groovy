import groovy.transform.CompileStatic
import org.locationtech.jts.geom.Geometry
import qupath.lib.objects.PathObject

/**
 * What a run put into the image, to be compared with what is there now: what differs, a person edited.
 */
@CompileStatic
class Her2Past {

    private final Her2Result result
    /** Row of an object by its running number in the run; a run that classified other people's cells skips some. */
    private final int[] rowOfNumber
    private final Map<UUID, Integer> rowOfPatch = new HashMap<UUID, Integer>()
    private final Map<UUID, Her2Region> regions = [:]

    Her2Past(Her2Result result) {
        this.result = result
        for (Her2Region region : result.regions)
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

    /** The table that an object of ours comes from; null where the run has none of its kind. */
    Her2Table table(PathObject object) {
        return object.isTile() ? result.patches : result.cells
    }

    /** Row of a cell or tile of ours in its table; -1 where the run has none of this number. */
    int row(PathObject object) {
        if (object.isTile())
            return rowOfPatch.getOrDefault(object.getID(), -1)
        long number = Her2Ids.number(object.getID())
        return number < rowOfNumber.length ? rowOfNumber[(int) number] : -1
    }

    /** Whether a person changed the object's class, or an annotation's outline, class or name. */
    boolean isEdited(PathObject object, double width, double height) {
        if (object.isAnnotation()) {
            Her2Region region = regions.get(object.getID())
            if (region == null || object.getPathClass() != null || object.getName() != region.name)
                return true
            Geometry shape = object.getROI().getGeometry()
            return !Her2Shapes.same(shape, region.shape, width, height)
        }
        int row = row(object)
        if (row < 0)
            return true
        Her2Table table = table(object)
        int code = table.classCode(row)
        return Her2Classes.nameOf(object.getPathClass()) != (code < 0 ? null : table.classNames.get(code))
    }
}
