import groovy.transform.CompileStatic

/**
 * The patch table of a run, patches.npz format 1, as written by qupath_her2/project/exchange/patch_files.py: boxes in
 * level-0 pixels of the image as QuPath shows it, and class probabilities (NaN for a patch that was not predicted).
 */
@CompileStatic
class Her2Patches extends Her2Table {

    private static final Map<String, String> COLUMNS = [
        uuid         : "|u1 2",
        box_xywh     : "<i4 2",
        region       : "<i4 1",
        probabilities: "<f4 2",
        patch_class  : "|u1 1",
    ]
    /** Last parts of class names by which QuPath counts a detection as a cell, e.g. in its H-score. */
    private static final List<String> COUNTED = ["Negative", "Positive", "1+", "2+", "3+"]

    /** Beginning of the names of our classes of tiles, and of that of the most attended ones. */
    private static final String OURS = "HER2 patch "
    private static final String ATTENTION = OURS + "attention"

    final Her2Column box
    final Her2Column probabilities
    /** Names of the probabilities, in column order. */
    final List<String> measurementNames = []

    /** Read `file`; the class names and the number of regions come from run.json. */
    Her2Patches(File file, List<String> classNames, int regions) {
        super(file, "patch", COLUMNS, classNames, regions)
        box = column("box_xywh")
        probabilities = column("probabilities")
        checkShape(box, count, 4)
        checkShape(probabilities, count, classNames.size())
        for (String name : classNames) {
            if (name.substring(name.lastIndexOf(": ") < 0 ? 0 : name.lastIndexOf(": ") + 2) in COUNTED)
                throw problem("QuPath would count a patch of the class '$name' as a cell")
            // QuPath shares one list of names among measurement lists only if the names are identical string objects.
            measurementNames.add(measurementName(name).intern())
        }
        checkRows()
    }

    /** Attention of a network on bags is no probability: its value is the rank of the patch in its image, 0..1. */
    private static String measurementName(String name) {
        return name.startsWith(ATTENTION) ? "HER2: ${name.substring(OURS.length())}".toString() :
            "HER2: probability $name".toString()
    }

    private void checkRows() {
        int classes = classNames.size()
        for (int row = 0; row < count; row++) {
            if (side(row, 2) < 1 || side(row, 3) < 1)
                throw problem("box_xywh holds a width or height below 1 px")
            if (!Her2Ids.isOurs(uuid.uuid(row)))
                throw problem("uuid holds ${uuid.uuid(row)}, which is not one of our UUIDs")
            for (int i = 0; i < classes; i++) {
                float value = probabilities.floats.get(row * classes + i)
                // Groovy compares NaN, which means "not predicted", as greater than 1.
                if (!Float.isNaN(value) && (value < 0 || value > 1))
                    throw problem("probabilities holds $value, outside 0..1")
            }
        }
    }

    /** One number of a box: 0 left, 1 top, 2 width, 3 height. */
    int side(int row, int which) {
        return box.ints.get(4 * row + which)
    }

    @Override
    float x(int row) {
        return (float) (side(row, 0) + side(row, 2) / 2.0d)
    }

    @Override
    float y(int row) {
        return (float) (side(row, 1) + side(row, 3) / 2.0d)
    }

    @Override
    float[] outline(int row) {
        float left = side(row, 0), top = side(row, 1)
        float right = left + side(row, 2), bottom = top + side(row, 3)
        return [left, top, right, top, right, bottom, left, bottom] as float[]
    }
}
