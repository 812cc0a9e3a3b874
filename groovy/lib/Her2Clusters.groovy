import groovy.transform.CompileStatic

/**
 * The largest group of cells linked by steps of at most a given distance, as qupath_her2/scoring/clusters.py finds it:
 * the cells lie in squares as wide as the distance, so that only neighbouring squares are searched.
 */
@CompileStatic
class Her2Clusters {

    private final float[] x
    private final float[] y
    private final double distance

    /** Centroids in µm, and the largest distance of neighbours in µm. */
    Her2Clusters(float[] x, float[] y, double distance) {
        this.x = x
        this.y = y
        this.distance = distance
    }

    /** The size of the largest group among the cells whose pair of intensity and pattern is in the set. */
    int largest(byte[] facts, int pairs) {
        int n = facts.length
        int[] chosen = new int[n]
        int k = 0
        for (int i = 0; i < n; i++)
            if (facts[i] >= 0 && (pairs & (1 << (int) facts[i])) != 0)
                chosen[k++] = i
        return k < 2 ? k : largestOf(Arrays.copyOf(chosen, k))
    }

    private int largestOf(int[] chosen) {
        Map<Long, Integer> heads = new HashMap<Long, Integer>()
        int n = chosen.length
        int[] next = new int[n]
        int[] parent = new int[n]
        int best = 1
        int[] size = new int[n]
        for (int i = 0; i < n; i++) {
            parent[i] = i
            size[i] = 1
            long column = square(x[chosen[i]])
            long row = square(y[chosen[i]])
            for (long dx = -1; dx <= 1; dx++)
                for (long dy = -1; dy <= 1; dy++) {
                    int at = heads.getOrDefault(key(column + dx, row + dy), -1)
                    while (at >= 0) {
                        if (areNear(chosen[i], chosen[at]))
                            best = Math.max(best, join(parent, size, i, at))
                        at = next[at]
                    }
                }
            Long own = key(column, row)
            next[i] = heads.getOrDefault(own, -1)
            heads.put(own, i)
        }
        return best
    }

    private boolean areNear(int one, int other) {
        double dx = (double) x[one] - x[other]
        double dy = (double) y[one] - y[other]
        return dx * dx + dy * dy <= distance * distance
    }

    private static int join(int[] parent, int[] size, int one, int other) {
        int a = root(parent, one)
        int b = root(parent, other)
        if (a == b)
            return size[a]
        int large = size[a] >= size[b] ? a : b
        int small = large == a ? b : a
        parent[small] = large
        size[large] = size[large] + size[small]
        return size[large]
    }

    private static int root(int[] parent, int one) {
        int at = one
        while (parent[at] != at) {
            // Halving keeps the paths short.
            parent[at] = parent[parent[at]]
            at = parent[at]
        }
        return at
    }

    private long square(float value) {
        return (long) Math.floor(value / distance)
    }

    private static long key(long column, long row) {
        return (column << 32) ^ (row & 0xFFFFFFFFL)
    }
}
