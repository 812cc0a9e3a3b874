import groovy.transform.CompileStatic
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.objects.classes.PathClass
import qupath.lib.projects.Project

/**
 * The review of an open image: sets the classes of its cells as a person says, keeps what she said, and takes each step
 * back. After all steps are undone the image is as it was.
 */
@CompileStatic
class Her2ReviewSession {

    /** Answer: class of the cell. */
    static final Map<String, String> CLASSES = [
        "0" : "Tumor: Negative",
        "1+": "Tumor: 1+",
        "2+": "Tumor: 2+",
        "3+": "Tumor: 3+",
        // QuPath leaves classes that end in * out of its counts, and scoring leaves out what is not graded.
        "x" : "Ignore*",
    ].asImmutable()

    final ImageData<?> image
    private final Project<?> project
    private final Her2ReviewLabels labels
    private final Deque<Step> steps = new ArrayDeque<Step>()

    Her2ReviewSession(ImageData<?> image, Project<?> project, Her2ReviewLabels labels) {
        this.image = image
        this.project = project
        this.labels = labels
    }

    int stepCount() {
        return steps.size()
    }

    /**
     * Set the class of a cell as the reader says, and keep her answer.
     *
     * @param value a key of `CLASSES`
     * @param isBlind keep the answer only: the image belongs to its first reader
     */
    void answer(Her2ReviewItem item, PathObject cell, String value, boolean isBlind) {
        String line = labels.add(item, value)
        Her2PreviousClass before = isBlind ? null : Her2PreviousClass.of(cell)
        boolean wasChanged = image.isChanged()
        steps.push(new Step(item, {
            if (before != null) {
                before.restore(cell)
                fire(cell)
            }
            labels.remove(line)
            image.setChanged(wasChanged)
        } as Runnable))
        String className = CLASSES.get(value)
        if (isBlind || before.before == className)
            return
        PathClass pathClass = Her2Classes.named([className], project)[0]
        cell.setPathClass(pathClass)
        fire(cell)
    }

    /** Take the last step back; returns its item, or null if there is none. */
    Her2ReviewItem undo() {
        if (steps.isEmpty())
            return null
        Step step = steps.pop()
        step.back.run()
        return step.item
    }

    private void fire(PathObject cell) {
        image.getHierarchy().fireObjectClassificationsChangedEvent(this, [cell])
    }

    /** A step, and how it is taken back. */
    @CompileStatic
    static final class Step {

        final Her2ReviewItem item
        final Runnable back

        Step(Her2ReviewItem item, Runnable back) {
            this.item = item
            this.back = back
        }
    }
}
