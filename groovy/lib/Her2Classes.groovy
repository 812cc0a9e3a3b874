import groovy.transform.CompileStatic
import qupath.lib.common.ColorTools
import qupath.lib.objects.classes.PathClass
import qupath.lib.projects.Project

/**
 * QuPath classes by name, in QuPath's default colours; the one of `Tumor?` is ours. A class that the project already
 * lists keeps its colour.
 */
@CompileStatic
class Her2Classes {

    /** Classes of cells and regions: red, green, blue, as in QuPath. */
    static final Map<String, List<Integer>> COLOURS = [
        "Tumor"          : [200, 0, 0],
        "Tumor?"         : [255, 0, 160],
        "Stroma"         : [150, 200, 150],
        "Tumor: Negative": [90, 90, 180],
        "Tumor: 1+"      : [255, 215, 0],
        "Tumor: 2+"      : [225, 150, 50],
        "Tumor: 3+"      : [200, 50, 50],
    ]
    /** The label of a patch class, and the cell class whose colour it takes. */
    static final Map<String, String> OF_PATCHES = [
        "0"         : "Tumor: Negative",
        "negative"  : "Tumor: Negative",
        "1+"        : "Tumor: 1+",
        "low"       : "Tumor: 1+",
        "2+"        : "Tumor: 2+",
        "equivocal" : "Tumor: 2+",
        "3+"        : "Tumor: 3+",
        "high"      : "Tumor: 3+",
        "positive"  : "Tumor: 3+",
        "tumour"    : "Tumor",
        "non-tumour": "Stroma",
    ]
    /** The class of proposed tumour regions: never scored before a person changes it to `Tumor`. */
    static final String PROPOSED = "Tumor?"
    private static final String PATCH = "HER2 patch "

    /** The class of this name; null if there is no name. */
    static PathClass named(String name, Collection<PathClass> listed) {
        if (name == null || name.isEmpty())
            return null
        PathClass found = PathClass.fromString(name, null)
        String known = name.startsWith(PATCH) ? OF_PATCHES.get(name.substring(PATCH.length())) : name
        List<Integer> colour = COLOURS.get(known)
        // Creating `Tumor: 3+` also creates `Tumor`, and a colour passed on creation is then ignored.
        if (colour != null && !listed.contains(found))
            found.setColor(ColorTools.packRGB(colour[0], colour[1], colour[2]))
        return found
    }

    static PathClass[] named(List<String> names, Project<?> project) {
        Collection<PathClass> listed = project == null ? Collections.<PathClass> emptyList() : project.getPathClasses()
        PathClass[] found = new PathClass[names.size()]
        for (int i = 0; i < found.length; i++)
            found[i] = named(names[i], listed)
        return found
    }

    /** The name of an object's class; null if it has none. */
    static String nameOf(PathClass pathClass) {
        return pathClass == null || pathClass == PathClass.NULL_CLASS ? null : pathClass.toString()
    }
}
