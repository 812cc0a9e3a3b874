import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject

/**
 * Score of an image for any cut-points, from the measurements of its cells: what scoring it again with them would give.
 * Cells that a person corrected keep the class that she gave. Nothing in the image changes.
 */
@CompileStatic
class Her2LiveScore {

    /** The pair of intensity and pattern that stands for a class that a person gave, as in reviewer_classes.py. */
    private static final byte[] FACTS_OF_CLASS = [(byte) 0, (byte) 5, (byte) 11, (byte) 15] as byte[]
    private static final List<String> CLASSES =
        ["Tumor: Negative", "Tumor: 1+", "Tumor: 2+", "Tumor: 3+"].asImmutable()
    /** No person gave the cell a class; or one that is not graded, so that the cell does not count. */
    private static final byte MACHINE = -1
    private static final byte NOT_COUNTED = -2
    private static final String AGAIN = "Score the image again."

    final Her2CellColumns cells
    final Her2GuidelineTable guideline
    /** The cut-points that the image was scored with. */
    final Her2CutPoints ofRun
    /** Why there is no live score; null where there is one. */
    final String refusal
    /** Number of cells whose class a person gave. */
    final int corrected

    private final byte[] given
    private final Her2ScoreWords words
    private final Her2Clusters clusters

    /** The score of the image's current run. */
    Her2LiveScore(ImageData<?> image, File run) {
        JsonObject record = Her2Json.read(new File(run, "run.json"), AGAIN)
        JsonObject score = Her2Json.read(new File(run, "score.json"), AGAIN)
        JsonObject settings = Her2Json.object(record, "settings")
        JsonObject scoring = Her2Json.object(settings, "scoring")
        cells = Her2CellColumns.of(image)
        guideline = Her2GuidelineTable.named(Her2Json.text(score, "guideline"))
        ofRun = Her2CutPoints.of(Her2Json.object(Her2Json.object(settings, "cells"), "grading"))
        refusal = refusalOf(score)
        given = new byte[cells.count]
        corrected = refusal == null ? findGiven() : 0
        words = new Her2ScoreWords(guideline, scoring, Her2Json.object(Her2Json.object(record, "image"), "case"))
        Double size = Her2Json.number(Her2Json.object(record, "image"), "pixel_size_um")
        clusters = guideline != null && guideline.isByCluster() ?
            clusters(size ?: 1.0d, Her2Json.number(scoring, "cluster_distance_um") ?: 20.0d) : null
    }

    private String refusalOf(JsonObject score) {
        if (cells.count == 0)
            return "No cell of this image has HER2 measurements. Score it first (Extensions > HER2 > Score open image)."
        if (guideline == null)
            return "This image was scored by a guideline that the window does not know. Update the scripts."
        String code = Her2Json.text(score, "refusal_code")
        return code == null || code in ["too_few_cells", "tma_cores"] ? null :
            Her2Json.text(score, "reason") ?: "This image is not assessable."
    }

    /** Cells whose class is not the one that they were written with. */
    private int findGiven() {
        byte[] graded = new byte[cells.count]
        ofRun.grade(cells, graded)
        int n = 0
        for (int i = 0; i < cells.count; i++) {
            byte facts = cells.written[i] == Her2CutPoints.UNMEASURED ? graded[i] : cells.written[i]
            String machine =
                facts == Her2CutPoints.UNMEASURED ? null : CLASSES.get((int) guideline.classOf[(int) facts])
            String now = Her2Classes.nameOf(cells.objects[i].getPathClass())
            given[i] = MACHINE
            if (now == machine)
                continue
            n++
            int code = now == null ? -1 : CLASSES.indexOf(now.startsWith("Tumor: ") ? now : "Tumor: $now".toString())
            given[i] = code < 0 ? NOT_COUNTED : (byte) code
        }
        return n
    }

    private Her2Clusters clusters(double pixelSize, double distance) {
        float[] x = new float[cells.count]
        float[] y = new float[cells.count]
        for (int i = 0; i < cells.count; i++) {
            PathObject cell = cells.objects[i]
            x[i] = (float) (cell.getROI().getCentroidX() * pixelSize)
            y[i] = (float) (cell.getROI().getCentroidY() * pixelSize)
        }
        return new Her2Clusters(x, y, distance)
    }

    /** Grade all cells and score them. */
    Result at(Her2CutPoints cuts) {
        byte[] facts = new byte[cells.count]
        cuts.grade(cells, facts)
        byte[] classes = new byte[cells.count]
        long[] counts = new long[16]
        long[] perClass = new long[4]
        byte[] classOf = guideline.classOf
        int n = cells.count
        for (int i = 0; i < n; i++) {
            byte person = given[i]
            byte pair = person == MACHINE ? facts[i] : person == NOT_COUNTED ? Her2CutPoints.UNMEASURED :
                FACTS_OF_CLASS[(int) person]
            facts[i] = pair
            if (pair < 0) {
                classes[i] = (byte) -1
                continue
            }
            byte code = classOf[(int) pair]
            classes[i] = code
            counts[(int) pair] = counts[(int) pair] + 1L
            perClass[(int) code] = perClass[(int) code] + 1L
        }
        return new Result(classes, counts, perClass, words, largestClusters(facts))
    }

    private int[] largestClusters(byte[] facts) {
        if (clusters == null)
            return null
        int[] found = new int[guideline.rows.size()]
        for (int i = 0; i < found.length; i++)
            found[i] = clusters.largest(facts, guideline.rows[i].pairs)
        return found
    }

    /** Classes, shares, score and sentence for one set of cut-points. */
    @CompileStatic
    static final class Result {

        /** Class 0..3 of each cell; -1 where it does not count. */
        final byte[] classes
        /** Cells by 4 x intensity + pattern, and by class. */
        final long[] counts
        final long[] perClass
        final long cells
        /** `0` to `3+`; null where there are too few cells. */
        final String score
        final String sentence

        Result(byte[] classes, long[] counts, long[] perClass, Her2ScoreWords words, int[] clusters) {
            this.classes = classes
            this.counts = counts
            this.perClass = perClass
            cells = perClass[0] + perClass[1] + perClass[2] + perClass[3]
            Her2ScoreWords.Verdict verdict = words.verdict(counts, clusters)
            score = verdict.score
            sentence = verdict.sentence
        }

        double share(int code) {
            return cells == 0 ? 0.0d : (double) perClass[code] / cells
        }

        double hScore() {
            return cells == 0 ? 0.0d : 100.0d * (perClass[1] + 2 * perClass[2] + 3 * perClass[3]) / cells
        }
    }
}
