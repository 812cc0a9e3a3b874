import groovy.transform.CompileStatic

/**
 * UUIDs of cells by the outlines that they had in the runs of an image: of a cell that a person deleted, its outline is
 * what is left. The runs are read when an outline is asked for, the current one first.
 */
@CompileStatic
class Her2WrittenOutlines {

    private final List<File> unread = []
    private final List<Her2Cells> read = []
    /** Rows of the tables read so far, by first vertex and number of vertices. */
    private final Map<String, List<int[]>> rows = [:]

    Her2WrittenOutlines(File her2, String image) {
        File current = Her2Exchange.currentRun(her2, image)
        File[] others = Her2Exchange.resultsOf(her2, image).listFiles() ?: new File[0]
        // listFiles returns no defined order.
        Arrays.sort(others)
        if (current != null)
            unread.add(current)
        for (File folder : others)
            if (folder != current && Her2Exchange.runNamed(her2, image, folder.name) != null)
                unread.add(folder)
    }

    /** The UUID of the cell of ours that had exactly this outline, x, y, x, y, …; null if no run has it. */
    UUID idOf(float[] ring) {
        while (true) {
            for (int[] place : rows.getOrDefault(key(ring), []))
                if (Arrays.equals(read[place[0]].outline(place[1]), ring))
                    return read[place[0]].uuid.uuid(place[1])
            if (unread.isEmpty())
                return null
            add(unread.remove(0))
        }
    }

    private void add(File run) {
        Her2Cells cells
        try {
            cells = Her2Result.read(run).cells
        } catch (Her2Refusal ignored) {
            // A damaged run names no cell; scoring says so when it meets the run.
            return
        }
        if (cells == null)
            return
        int number = read.size()
        read.add(cells)
        for (int row = 0; row < cells.count; row++)
            if (Her2Ids.isOurs(cells.uuid.uuid(row)))
                rows.computeIfAbsent(key(cells.outline(row))) { new ArrayList<int[]>() }
                    .add([number, row] as int[])
    }

    private static String key(float[] ring) {
        return "${ring.length} ${ring[0]} ${ring[1]}".toString()
    }
}
