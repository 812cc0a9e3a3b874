import groovy.transform.CompileStatic
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.objects.classes.PathClass
import qupath.lib.projects.Project

/**
 * The regions of an open image, one after the other: proposals of the program first, then tumour regions. A proposal
 * is accepted as *Tumor* or deleted, a tumour region left or ignored. Each step can be taken back; the image is then as
 * it was.
 */
@CompileStatic
class Her2RegionReview {

    private static final String TUMOUR = "Tumor"
    private static final String IGNORED = "Ignore*"

    final ImageData<?> image
    final List<PathObject> regions
    private final Project<?> project
    private final Deque<Step> steps = new ArrayDeque<Step>()
    private int at = -1

    Her2RegionReview(ImageData<?> image, Project<?> project) {
        this.image = image
        this.project = project
        List<PathObject> all = image.getHierarchy().getAnnotationObjects()
            .findAll { PathObject it -> it.getROI().isArea() }.toList()
        List<PathObject> proposed = all.findAll { PathObject it -> isProposal(it) }
        regions = proposed + all.findAll { PathObject it ->
            !isProposal(it) && (Her2Classes.nameOf(it.getPathClass()) ?: "").toLowerCase(Locale.ROOT).startsWith("tumo")
        }
    }

    static boolean isProposal(PathObject region) {
        return Her2Classes.nameOf(region.getPathClass()) == Her2Classes.PROPOSED
    }

    /** The region that is shown; null before the first and after the last. */
    PathObject current() {
        return at >= 0 && at < regions.size() ? regions[at] : null
    }

    int number() {
        return Math.min(at + 1, regions.size())
    }

    int stepCount() {
        return steps.size()
    }

    /** Go on without a decision. */
    PathObject next() {
        at = Math.min(at + 1, regions.size())
        return current()
    }

    /** The shown region is tumour. */
    void accept() {
        PathObject region = current()
        if (region != null && isProposal(region))
            classify(region, TUMOUR)
    }

    /** The shown region is no tumour. */
    void reject() {
        PathObject region = current()
        if (region == null || region.getParent() == null)
            return
        if (isProposal(region))
            delete(region)
        else
            classify(region, IGNORED)
    }

    private void classify(PathObject region, String className) {
        Her2PreviousClass before = Her2PreviousClass.of(region)
        boolean wasChanged = image.isChanged()
        remember {
            before.restore(region)
            image.getHierarchy().fireObjectClassificationsChangedEvent(this, [region])
            image.setChanged(wasChanged)
        }
        PathClass pathClass = Her2Classes.named([className], project)[0]
        region.setPathClass(pathClass)
        image.getHierarchy().fireObjectClassificationsChangedEvent(this, [region])
    }

    private void delete(PathObject region) {
        PathObject parent = region.getParent()
        List<PathObject> siblings = new ArrayList<PathObject>(parent.getChildObjects())
        List<PathObject> children = new ArrayList<PathObject>(region.getChildObjects())
        boolean wasChanged = image.isChanged()
        remember {
            if (!children.isEmpty()) {
                parent.removeChildObjects(children)
                region.addChildObjects(children)
            }
            // All of them again, so that they stand in the order in which they stood.
            parent.removeChildObjects(siblings.findAll { PathObject one -> one.getParent().is(parent) })
            parent.addChildObjects(siblings)
            image.getHierarchy().fireHierarchyChangedEvent(this)
            image.setChanged(wasChanged)
        }
        parent.removeChildObject(region)
        if (!children.isEmpty()) {
            region.removeChildObjects(children)
            parent.addChildObjects(children)
        }
        image.getHierarchy().fireHierarchyChangedEvent(this)
    }

    private void remember(Runnable back) {
        steps.push(new Step(at, back))
    }

    /** Take the last decision back and show its region; whether there was one. */
    boolean undo() {
        if (steps.isEmpty())
            return false
        Step step = steps.pop()
        step.back.run()
        at = step.at
        return true
    }

    /** The region that a decision was about, and how it is taken back. */
    @CompileStatic
    static final class Step {

        final int at
        final Runnable back

        Step(int at, Runnable back) {
            this.at = at
            this.back = back
        }
    }
}
