import groovy.transform.CompileStatic
import qupath.lib.images.ImageData
import qupath.lib.measurements.MeasurementList
import qupath.lib.objects.PathObject

/**
 * The HER2 measurements of an image's cells that cut-points grade, as columns: an image can have a million cells, and
 * dragging a cut-point grades all of them each time.
 */
@CompileStatic
class Her2CellColumns {

    private static final String DENSITY = "HER2: Membrane own DAB OD"
    private static final String COMPLETENESS = "HER2: Membrane completeness"
    private static final String LATERAL = "HER2: Membrane is lateral"
    private static final String INTENSITY = "HER2: Membrane intensity"
    private static final String PATTERN = "HER2: Membrane pattern"

    final int count
    final PathObject[] objects
    /** Density of the own membrane, OD, and stained fraction of the outline; NaN where not measured. */
    final float[] density
    final float[] completeness
    final boolean[] isLateral
    /** 4 x intensity + pattern as the cell was graded when it was written; UNMEASURED where that is not known. */
    final byte[] written

    private Her2CellColumns(List<PathObject> cells) {
        count = cells.size()
        objects = cells.toArray(new PathObject[0])
        density = new float[count]
        completeness = new float[count]
        isLateral = new boolean[count]
        written = new byte[count]
        for (int i = 0; i < count; i++) {
            MeasurementList list = objects[i].getMeasurementList()
            density[i] = (float) list.get(DENSITY)
            completeness[i] = (float) list.get(COMPLETENESS)
            isLateral[i] = list.get(LATERAL) > 0
            double intensity = list.get(INTENSITY)
            double pattern = list.get(PATTERN)
            boolean isKnown = intensity >= 0 && intensity <= 3 && pattern >= 0 && pattern <= 3
            written[i] = isKnown ? (byte) (4 * (int) intensity + (int) pattern) : Her2CutPoints.UNMEASURED
        }
    }

    /** The cells of an image that HER2 has measured, without those of selections that were scored by themselves. */
    static Her2CellColumns of(ImageData<?> image) {
        Set<UUID> fields = Her2ImageProperties.fields(image)
        List<PathObject> found = new ArrayList<PathObject>()
        for (PathObject cell : image.getHierarchy().getDetectionObjects())
            if (!cell.isTile() && cell.getMeasurementList().containsKey(DENSITY) &&
                    (fields.isEmpty() || !fields.contains(cell.getParent()?.getID())))
                found.add(cell)
        return new Her2CellColumns(found)
    }
}
