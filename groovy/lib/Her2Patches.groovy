import groovy.transform.CompileStatic

/**
 * The table of patches of a run, patches.npz format 1, as qupath_her2/project/patch_files.py writes it: boxes in
 * level-0 pixels of the image as QuPath shows it, and the probability of each class (NaN where there is none).
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
    /** Last parts of the names by which QuPath takes a detection for a counted cell. */
    private static final List<String> COUNTED = ["Negative", "Positive", "1+", "2+", "3+"]

    final Her2Column box
    final Her2Column probabilities
    /** Of the probabilities, in their order. */
    final List<String> measurementNames = []

    /** Read `file`; the names of classes and the number of regions stand in the run's record. */
    Her2Patches(File file, List<String> classNames, int regions) {
        super(file, "patch", COLUMNS, classNames, regions)
        box = column("box_xywh")
        probabilities = column("probabilities")
        checkShape(box, count, 4)
        checkShape(probabilities, count, classNames.size())
        for (String name : classNames) {
            if (name.substring(name.lastIndexOf(": ") < 0 ? 0 : name.lastIndexOf(": ") + 2) in COUNTED)
                throw problem("QuPath would count a patch of the class '$name' as a cell")
            // QuPath shares a list of names among lists of measurements only if the names are the same strings.
            measurementNames.add("HER2: probability $name".toString().intern())
        }
        checkRows()
    }

    private void checkRows() {
        int classes = classNames.size()
        for (int row = 0; row < count; row++) {
            if (side(row, 2) < 1 || side(row, 3) < 1)
                throw problem("box_xywh holds a width or height below 1 px")
            if (!Her2Ids.isOurs(uuid.uuid(row)))
                throw problem("uuid holds ${uuid.uuid(row)}, which is not of our making")
            for (int i = 0; i < classes; i++) {
                float value = probabilities.floats.get(row * classes + i)
                // Groovy takes NaN, which is "not predicted", for more than 1.
                if (!Float.isNaN(value) && (value < 0 || value > 1))
                    throw problem("probabilities holds $value, outside 0..1")
            }
        }
    }

    /** Of a box: 0 its left, 1 its top, 2 its width, 3 its height. */
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
