import groovy.transform.CompileStatic
import org.locationtech.jts.geom.Geometry

/**
 * One scored region of a run: which annotation it was, how it looked then, what was measured in it.
 */
@CompileStatic
class Her2Region {

    UUID id
    String name
    String className
    Geometry shape
    /** Names begin with "HER2: ". */
    Map<String, Double> measurements = [:]

    /** Made by us (whole tissue), so that no annotation of a person need be there. */
    boolean isOurs() {
        return Her2Ids.isOurs(id)
    }

    /** What to call it in a message. */
    String label() {
        return "${className ?: 'annotation'}${name ? " '" + name + "'" : ''} ($id)"
    }
}
