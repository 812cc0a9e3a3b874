import groovy.transform.CompileStatic

/**
 * The cells to review, in the order in which they are asked, and which of them have been answered. The cells of one
 * image follow each other, since opening another image takes time.
 */
@CompileStatic
class Her2ReviewQueue {

    private static final String AGAIN = "Choose the cells again: Extensions > HER2 > Review…"

    final List<Her2ReviewItem> items
    /** Where the order comes from, as a sentence. */
    final String source
    private final Set<String> answered = new HashSet<String>()
    private int at = -1

    Her2ReviewQueue(List<Her2ReviewItem> items, String source, Collection<String> answered) {
        this.items = items
        this.source = source
        for (Her2ReviewItem item : items)
            if (item.key() in answered)
                this.answered.add(item.key())
    }

    /** The file of a project's queue. */
    static File file(File her2) {
        return new File(her2, "review/queue/queue.csv")
    }

    /** The items of a queue file, those of image `first` first; null if there is no file. */
    static List<Her2ReviewItem> read(File her2, String first) {
        File file = file(her2)
        if (!file.isFile())
            return null
        List<Her2ReviewItem> found = []
        for (Map<String, String> row : Her2Csv.read(file, AGAIN))
            found.add(item(row, file))
        List<String> images = ([first] + found.collect { Her2ReviewItem it -> it.image }).unique(false)
        // Stable: within an image the order of the file stays.
        return found.sort(false) { Her2ReviewItem it -> images.indexOf(it.image) }
    }

    private static Her2ReviewItem item(Map<String, String> row, File file) {
        try {
            return new Her2ReviewItem(row.get("image"), UUID.fromString(row.get("uuid")),
                Double.parseDouble(row.get("x")), Double.parseDouble(row.get("y")), row.get("class"), row.get("why"))
        } catch (IllegalArgumentException | NullPointerException problem) {
            throw new Her2Refusal("'$file' is damaged (${problem.message}). $AGAIN")
        }
    }

    /** The item that is shown; null before the first and after the last. */
    Her2ReviewItem current() {
        return at >= 0 && at < items.size() ? items[at] : null
    }

    /** The number of the current item from 1, for "37 of 60"; 0 before the first. */
    int number() {
        return Math.min(at + 1, items.size())
    }

    int answeredCount() {
        return answered.size()
    }

    boolean isAnswered(Her2ReviewItem item) {
        return item.key() in answered
    }

    void setAnswered(Her2ReviewItem item, boolean isAnswered) {
        if (isAnswered)
            answered.add(item.key())
        else
            answered.remove(item.key())
    }

    /** Go to the next item that nobody has answered yet; null after the last. */
    Her2ReviewItem next() {
        at++
        while (at < items.size() && items[at].key() in answered)
            at++
        at = Math.min(at, items.size())
        return current()
    }

    /** Go to an item, for example the one whose answer was undone. */
    void show(Her2ReviewItem item) {
        at = items.findIndexOf { Her2ReviewItem it -> it.key() == item.key() }
    }
}
