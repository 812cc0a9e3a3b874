import groovy.transform.CompileStatic

/**
 * A cell to review: where it is, what the program called it, and why it is asked. One line of
 * her2/review/queue/queue.csv, which qupath_her2/review/queue_files.py writes, or a choice of Her2NearCells.
 */
@CompileStatic
class Her2ReviewItem {

    /** Folder name of the image in the exchange folder. */
    final String image
    final UUID id
    /** Centroid in pixels of the full resolution. */
    final double x
    final double y
    /** Class that the program gave it; null where it is not told. */
    final String className
    final String why

    Her2ReviewItem(String image, UUID id, double x, double y, String className, String why) {
        this.image = image
        this.id = id
        this.x = x
        this.y = y
        this.className = className
        this.why = why
    }

    /** Image and UUID, by which labels know a cell. */
    String key() {
        return "$image $id".toString()
    }
}
