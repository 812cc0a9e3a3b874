import groovy.transform.CompileStatic
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.roi.interfaces.ROI

/**
 * The annotation or TMA core that *Score selection* scores, and what else of ours lies in it.
 *
 * One that holds cells of the image's score, or of another selection, is refused. A second set of the same cells would
 * be counted twice by everything that counts cells in QuPath, and taking the first away would leave a score of the
 * image whose cells are partly gone. The other way round, a score of the image replaces the selections inside and
 * outside its regions (see Her2ResultKind): it is the result that a report holds.
 */
@CompileStatic
class Her2SelectedRegion {

    private static final String DRAW = "Draw an annotation where you want a score (a rectangle will do), leave it " +
        "selected, then choose Extensions > HER2 > Score selection."

    private final ImageData<?> image
    private final File her2
    final PathObject region

    private Her2SelectedRegion(ImageData<?> image, File her2, PathObject region) {
        this.image = image
        this.her2 = her2
        this.region = region
    }

    /** The annotation with this UUID, or the selected one where `id` is null; throws Her2Refusal if it cannot be. */
    static Her2SelectedRegion of(ImageData<?> image, File her2, String id) {
        PathObject found = id == null ? selected(image.getHierarchy()) : named(image.getHierarchy(), id)
        if (found.getROI() == null || !found.getROI().isArea())
            throw new Her2Refusal("The selected annotation has no area: it is a line or points. $DRAW")
        if (Her2Ids.isMade(found))
            throw new Her2Refusal("The selected annotation was made by HER2. If it holds tumour, set its class to " +
                "Tumor (right-click > Set classification > Tumor); then it can be scored.")
        return new Her2SelectedRegion(image, her2, found)
    }

    private static PathObject selected(PathObjectHierarchy hierarchy) {
        List<PathObject> found = regions(hierarchy.getSelectionModel().getSelectedObjects())
        if (found.isEmpty())
            throw new Her2Refusal("No annotation is selected. $DRAW")
        if (found.size() > 1)
            throw new Her2Refusal("${found.size()} annotations are selected. Select one of them, then score it; to " +
                "score several, set their class to Tumor and score the image.")
        return found[0]
    }

    private static List<PathObject> regions(Collection<PathObject> objects) {
        return objects.findAll { PathObject it -> it.isAnnotation() || it.isTMACore() } as List<PathObject>
    }

    private static PathObject named(PathObjectHierarchy hierarchy, String id) {
        PathObject found = regions(hierarchy.getFlattenedObjectList(null)).find { PathObject it ->
            it.getID().toString() == id
        }
        if (found == null)
            throw new Her2Refusal("There is no annotation $id in this image. It may have been deleted; " +
                "select another one.")
        return found
    }

    /** Refuse a region that holds cells of another result of ours. `imageId` is the image's name in her2. */
    void checkFree(String imageId) {
        File own = Her2ResultKind.field(her2, region.getID())
        Map<Long, Boolean> isOwn = [:]
        int ofImage = 0
        int ofOthers = 0
        for (PathObject cell : cellsInside()) {
            long key = Her2Ids.runKey(cell.getID())
            if (!isOwn.containsKey(key))
                isOwn.put(key, Her2Exchange.runOfKey(own, imageId, key) != null)
            if (isOwn.get(key))
                continue
            if (Her2ResultKind.fields(her2).any { File it -> Her2Exchange.runOfKey(it, imageId, key) != null })
                ofOthers++
            else
                ofImage++
        }
        if (ofImage > 0)
            throw new Her2Refusal("The selection holds ${words(ofImage)} of the score that the image has, and would " +
                "count twice. Select a place without HER2 cells, or remove the score first (Extensions > HER2 > " +
                "Results > Remove results).")
        if (ofOthers > 0)
            throw new Her2Refusal("The selection holds ${words(ofOthers)} of another selection that was scored, and " +
                "would count twice. Move it, or delete those cells first.")
    }

    private static String words(int cells) {
        return cells == 1 ? "1 cell" : String.format(Locale.ROOT, "%,d cells", cells)
    }

    private List<PathObject> cellsInside() {
        ROI outline = region.getROI()
        double left = outline.getBoundsX(), top = outline.getBoundsY()
        double right = left + outline.getBoundsWidth(), bottom = top + outline.getBoundsHeight()
        List<PathObject> found = []
        for (PathObject cell : image.getHierarchy().getDetectionObjects()) {
            if (!cell.isCell() || !Her2Ids.isOurs(cell.getID()))
                continue
            double x = cell.getROI().getCentroidX(), y = cell.getROI().getCentroidY()
            // An image has a million cells, and the test of an outline is slow.
            if (x >= left && x <= right && y >= top && y <= bottom && outline.contains(x, y))
                found.add(cell)
        }
        return found
    }
}
