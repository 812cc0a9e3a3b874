import groovy.transform.CompileStatic

/**
 * Cells of one image near its cut-points, the nearest first: the order of review where no queue was chosen. As in
 * qupath_her2/review/queue.py, cells that look alike are asked once; other networks and other images are not compared.
 */
@CompileStatic
class Her2NearCells {

    /** Distance to a cut-point within which a cell is near it: root of OD, and share of the outline. */
    private static final double NEAR_ROOT_OD = 0.05d
    private static final double NEAR_COMPLETENESS = 0.06d
    private static final double ALIKE = 0.015d
    private static final List<String> WORDS =
        ["faint", "moderate", "intense", "stained", "lateral", "complete"].asImmutable()

    /** At most `n` items for an image of this folder name, by the cut-points of its run. */
    static List<Her2ReviewItem> choose(Her2CellColumns cells, Her2CutPoints cuts, String image, int n) {
        double[] values = new double[cells.count]
        Integer[] order = new Integer[cells.count]
        for (int i = 0; i < cells.count; i++) {
            values[i] = worth(cells, cuts, i)
            order[i] = i
        }
        Arrays.sort(order, { Integer a, Integer b -> Double.compare(values[b], values[a]) } as Comparator<Integer>)
        List<Her2ReviewItem> found = []
        List<double[]> looks = []
        for (Integer i : order) {
            if (found.size() == n || !(values[i] > 0))
                break
            double[] look = [root(cells.density[i]), (double) cells.completeness[i]] as double[]
            boolean isAlike = looks.any { double[] it ->
                Math.abs(it[0] - look[0]) < ALIKE && Math.abs(it[1] - look[1]) < ALIKE
            }
            if (isAlike)
                continue
            looks.add(look)
            found.add(item(cells, cuts, i, image))
        }
        return found
    }

    private static double worth(Her2CellColumns cells, Her2CutPoints cuts, int i) {
        double[] near = nearness(cells, cuts, i)
        double sum = 0
        for (double value : near)
            sum += value
        return sum
    }

    /** Nearness to each cut-point that decides on the class of a cell: 1 on it, 0 where it is no longer near. */
    private static double[] nearness(Her2CellColumns cells, Her2CutPoints cuts, int i) {
        double[] found = new double[6]
        float share = cells.completeness[i]
        float od = cells.density[i]
        if (Float.isNaN(share) || Float.isNaN(od))
            return found
        for (int k = 0; k < 3; k++)
            // A cell without a stained outline is negative whatever its density.
            if (share >= cuts.values[3])
                found[k] = Math.max(0.0d, 1 - Math.abs(root(od) - Math.sqrt(cuts.values[k])) / NEAR_ROOT_OD)
        for (int k : [3, 5])
            if (od >= cuts.values[0])
                found[k] = Math.max(0.0d, 1 - Math.abs(share - cuts.values[k]) / NEAR_COMPLETENESS)
        return found
    }

    private static double root(float od) {
        return Math.sqrt(Math.max(od, 0.0f))
    }

    private static Her2ReviewItem item(Her2CellColumns cells, Her2CutPoints cuts, int i, String image) {
        double[] near = nearness(cells, cuts, i)
        List<String> reasons = []
        for (int k = 0; k < 6; k++) {
            String value = k < 3 ? String.format(Locale.ROOT, "density %.3f OD", cells.density[i]) :
                String.format(Locale.ROOT, "completeness %.2f", cells.completeness[i])
            if (near[k] > 0)
                reasons.add("$value, ${WORDS[k]} from ${cuts.values[k]}".toString())
        }
        return new Her2ReviewItem(image, cells.objects[i].getID(), cells.objects[i].getROI().getCentroidX(),
            cells.objects[i].getROI().getCentroidY(), Her2Classes.nameOf(cells.objects[i].getPathClass()),
            reasons.join("; "))
    }
}
