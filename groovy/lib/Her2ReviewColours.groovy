import groovy.transform.CompileStatic
import java.awt.Color
import qupath.lib.color.ColorMaps
import qupath.lib.gui.tools.MeasurementMapper
import qupath.lib.gui.viewer.OverlayOptions
import qupath.lib.objects.PathObject

/**
 * Colours in which QuPath draws the cells while the review window asks for others than those of their classes: one
 * colour for all, or the colours of the classes that other cut-points give. The classes in the image do not change.
 */
@CompileStatic
class Her2ReviewColours extends MeasurementMapper {

    private static final int NEUTRAL = new Color(70, 110, 180).getRGB()
    private static final int NOT_COUNTED = new Color(150, 150, 150).getRGB()
    private static final String NAME = "HER2 review"

    private final Map<PathObject, Integer> numbers
    private final byte[] classes
    private final int[] colours

    private Her2ReviewColours(Map<PathObject, Integer> numbers, byte[] classes, int[] colours) {
        super(ColorMaps.getDefaultColorMap(), NAME, Collections.<PathObject> emptyList())
        this.numbers = numbers
        this.classes = classes
        this.colours = colours
    }

    /** All cells in one colour, which says nothing of their classes. */
    static Her2ReviewColours neutral() {
        return new Her2ReviewColours(null, null, null)
    }

    /**
     * Cells in the colours of other classes.
     *
     * @param numbers of the cells
     * @param classes class 0..3 by number; -1 for a cell that does not count
     * @param colours by class, as packed RGB
     */
    static Her2ReviewColours of(Map<PathObject, Integer> numbers, byte[] classes, int[] colours) {
        return new Her2ReviewColours(numbers, classes, colours)
    }

    /** Whether a viewer's colours are ours. By name: after an update the former library has another class of it. */
    static boolean isOurs(MeasurementMapper mapper) {
        return mapper != null && mapper.class.simpleName == "Her2ReviewColours"
    }

    /** Use these colours, or QuPath's own again with null. */
    static void show(OverlayOptions options, Her2ReviewColours colours) {
        if (colours != null)
            options.setMeasurementMapper(colours)
        else if (isOurs(options.getMeasurementMapper()))
            options.resetMeasurementMapper()
    }

    /** Numbers of objects by identity, the fastest map of a million cells. */
    static Map<PathObject, Integer> numbers(PathObject[] objects) {
        Map<PathObject, Integer> found = new IdentityHashMap<PathObject, Integer>(objects.length)
        for (int i = 0; i < objects.length; i++)
            found.put(objects[i], i)
        return found
    }

    @Override
    boolean isValid() {
        return true
    }

    @Override
    Integer getColorForObject(PathObject object) {
        if (numbers == null)
            return NEUTRAL
        Integer number = numbers.get(object)
        if (number == null)
            return null
        int code = classes[number]
        return code < 0 ? NOT_COUNTED : colours[code]
    }
}
