import com.google.gson.GsonBuilder
import groovy.transform.CompileStatic
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.charset.StandardCharsets
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import java.time.LocalDateTime
import java.util.stream.IntStream
import java.util.zip.CRC32
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import org.locationtech.jts.geom.Coordinate
import org.locationtech.jts.geom.Geometry
import org.locationtech.jts.geom.Polygon
import qupath.lib.geom.Point2
import qupath.lib.measurements.MeasurementList
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjectTools
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.roi.PolygonROI
import qupath.lib.roi.interfaces.ROI

/**
 * Exports existing cells, detected by QuPath or other tools, as columns: regions/<image>.cells.npz, format 1, read by
 * qupath_her2/project/exchange/existing_cell_files.py. Zip members are stored uncompressed: uuid |u1 (N, 16), cell_xy
 * <f4 (P, 2), cell_offsets <i8 (N + 1), nucleus_xy and nucleus_offsets likewise, cell_class <i4 (N) with -1 for none,
 * is_cell |u1 (N), measurements <f4 (N, M), and info.json with the names of classes and measurements.
 */
@CompileStatic
class Her2ExportCells {

    /** The earliest time for which Java writes no extra field; that field would depend on the machine's time zone. */
    private static final LocalDateTime NO_DATE = LocalDateTime.of(1980, 1, 1, 0, 0, 2)

    /** Write all cells and detections that are not results of ours; returns their number. Deterministic to the byte. */
    static long write(PathObjectHierarchy hierarchy, File file) {
        PathObject[] cells = cellsOf(hierarchy)
        if (cells.length == 0) {
            Files.deleteIfExists(file.toPath())
            return 0
        }
        float[][] outlines = new float[cells.length][]
        float[][] nuclei = new float[cells.length][]
        IntStream.range(0, cells.length).parallel().forEach((int i) -> {
            outlines[i] = ring(cells[i].getROI())
            nuclei[i] = ring(PathObjectTools.getNucleusROI(cells[i]))
        })
        Map<String, Integer> classes = new LinkedHashMap<String, Integer>()
        List<String> names = measurementNames(cells)
        // A draft, so that Python never reads a half-written file.
        Path draft = file.toPath().resolveSibling(file.getName() + ".tmp")
        ZipOutputStream out = new ZipOutputStream(new BufferedOutputStream(Files.newOutputStream(draft), 1 << 20))
        try {
            member(out, "uuid", "|u1", [cells.length, 16], uuids(cells))
            rings(out, "cell", outlines)
            rings(out, "nucleus", nuclei)
            member(out, "cell_class", "<i4", [cells.length], classCodes(cells, classes))
            member(out, "is_cell", "|u1", [cells.length], kinds(cells))
            member(out, "measurements", "<f4", [cells.length, names.size()], measurements(cells, names))
            String info = new GsonBuilder().disableHtmlEscaping().create()
                .toJson([classes: new ArrayList<String>(classes.keySet()), format: 1, measurements: names])
            stored(out, "info.json", info.getBytes(StandardCharsets.UTF_8))
        } finally {
            out.close()
        }
        Files.move(draft, file.toPath(), StandardCopyOption.REPLACE_EXISTING)
        return cells.length
    }

    /** Detections with an area, sorted by ID. Tiles are patches of tissue, not cells; our own objects are results. */
    private static PathObject[] cellsOf(PathObjectHierarchy hierarchy) {
        List<PathObject> found = new ArrayList<PathObject>()
        for (PathObject object : hierarchy.getDetectionObjects())
            if (!object.isTile() && object.getROI()?.isArea() && !Her2Ids.isOurs(object.getID()))
                found.add(object)
        PathObject[] cells = found.toArray(new PathObject[0])
        Arrays.parallelSort(cells, (PathObject one, PathObject other) -> one.getID().compareTo(other.getID()))
        for (int i = 1; i < cells.length; i++)
            if (cells[i].getID().equals(cells[i - 1].getID()))
                throw new Her2Refusal("two cells have the ID ${cells[i].getID()}; results are matched by ID. They " +
                    "were imported twice or copied: delete one copy, or delete all detections and detect again")
        return cells
    }

    /** The outline as an open ring x, y, x, y, …; of several parts the largest, with its holes filled. */
    private static float[] ring(ROI roi) {
        if (roi == null)
            return new float[0]
        if (roi instanceof PolygonROI) {
            List<Point2> points = roi.getAllPoints()
            int n = points.size()
            if (n > 1 && points.get(0).equals(points.get(n - 1)))
                n--
            float[] xy = new float[2 * n]
            for (int i = 0; i < n; i++) {
                Point2 point = points.get(i)
                xy[2 * i] = (float) point.getX()
                xy[2 * i + 1] = (float) point.getY()
            }
            return n < 3 ? new float[0] : xy
        }
        // QuPath 0.5 starts rectangles and ellipses at another vertex than later versions; norm() makes them equal.
        return ringOf(roi.getGeometry().norm())
    }

    private static float[] ringOf(Geometry geometry) {
        Polygon largest = null
        for (int i = 0; i < geometry.getNumGeometries(); i++) {
            Geometry part = geometry.getGeometryN(i)
            if (part instanceof Polygon && (largest == null || part.getArea() > largest.getArea()))
                largest = (Polygon) part
        }
        Coordinate[] points = largest == null ? new Coordinate[0] : largest.getExteriorRing().getCoordinates()
        float[] xy = new float[Math.max(0, 2 * (points.length - 1))]
        for (int i = 0; 2 * i < xy.length; i++) {
            xy[2 * i] = (float) points[i].x
            xy[2 * i + 1] = (float) points[i].y
        }
        return xy
    }

    /** All measurement names in order of appearance, without ours. */
    private static List<String> measurementNames(PathObject[] cells) {
        Set<String> names = new LinkedHashSet<String>()
        // QuPath shares one list of names among most cells, so comparing with the previous list skips nearly all.
        List<String> previous = null
        for (PathObject cell : cells) {
            List<String> own = cell.getMeasurementList().getMeasurementNames()
            if (!own.equals(previous))
                names.addAll(own)
            previous = own
        }
        names.removeIf { String name -> name.startsWith(Her2ResultKind.PREFIX) }
        return new ArrayList<String>(names)
    }

    private static byte[] uuids(PathObject[] cells) {
        ByteBuffer out = ByteBuffer.allocate(Math.multiplyExact(16, cells.length))
        for (PathObject cell : cells) {
            UUID id = cell.getID()
            out.putLong(id.getMostSignificantBits()).putLong(id.getLeastSignificantBits())
        }
        return out.array()
    }

    private static byte[] kinds(PathObject[] cells) {
        byte[] out = new byte[cells.length]
        for (int i = 0; i < cells.length; i++)
            out[i] = (byte) (cells[i].isCell() ? 1 : 0)
        return out
    }

    private static byte[] classCodes(PathObject[] cells, Map<String, Integer> classes) {
        ByteBuffer out = little(Math.multiplyExact(4, cells.length))
        Map<PathClass, Integer> codes = new IdentityHashMap<PathClass, Integer>()
        for (PathObject cell : cells) {
            PathClass own = cell.getPathClass()
            Integer code = own == null || own == PathClass.NULL_CLASS ? Integer.valueOf(-1) : codes.get(own)
            if (code == null) {
                code = classes.computeIfAbsent(own.toString()) { String name -> classes.size() }
                codes.put(own, code)
            }
            out.putInt(code.intValue())
        }
        return out.array()
    }

    private static byte[] measurements(PathObject[] cells, List<String> names) {
        int m = names.size()
        byte[] bytes = new byte[Math.multiplyExact(4, Math.multiplyExact(m, cells.length))]
        String[] wanted = names.toArray(new String[0])
        IntStream.range(0, cells.length).parallel().forEach((int i) -> {
            ByteBuffer row = ByteBuffer.wrap(bytes, 4 * m * i, 4 * m).order(ByteOrder.LITTLE_ENDIAN)
            MeasurementList list = cells[i].getMeasurementList()
            boolean isSame = list.getMeasurementNames().equals(names)
            double[] values = isSame ? list.values() : null
            for (int j = 0; j < m; j++)
                row.putFloat((float) (isSame ? values[j] : list.get(wanted[j])))
        })
        return bytes
    }

    private static void rings(ZipOutputStream out, String part, float[][] all) {
        ByteBuffer offsets = little(Math.multiplyExact(8, all.length + 1))
        offsets.putLong(0L)
        long total = 0
        for (float[] xy : all) {
            total += xy.length.intdiv(2)
            offsets.putLong(total)
        }
        ByteBuffer points = little(Math.toIntExact(8 * total))
        for (float[] xy : all)
            for (int i = 0; i < xy.length; i++)
                points.putFloat(xy[i])
        member(out, part + "_xy", "<f4", [(int) total, 2], points.array())
        member(out, part + "_offsets", "<i8", [all.length + 1], offsets.array())
    }

    private static ByteBuffer little(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN)
    }

    /** A column as NPY 1.0, its header padded so that the values start at a multiple of 64 bytes. */
    private static void member(ZipOutputStream out, String name, String kind, List<Integer> shape, byte[] data) {
        String axes = shape.join(", ") + (shape.size() == 1 ? "," : "")
        String text = "{'descr': '${kind}', 'fortran_order': False, 'shape': (${axes}), }".toString()
        int length = 10 + text.length() + 1
        String header = text + " " * ((64 - length % 64) % 64) + "\n"
        ByteBuffer whole = little(10 + header.length() + data.length)
        whole.put((byte) 0x93).put("NUMPY".getBytes(StandardCharsets.US_ASCII)).put((byte) 1).put((byte) 0)
        whole.putShort((short) header.length()).put(header.getBytes(StandardCharsets.US_ASCII)).put(data)
        stored(out, name + ".npy", whole.array())
    }

    private static void stored(ZipOutputStream out, String name, byte[] data) {
        CRC32 sum = new CRC32()
        sum.update(data)
        ZipEntry entry = new ZipEntry(name)
        entry.setMethod(ZipEntry.STORED)
        entry.setSize(data.length)
        entry.setCrc(sum.getValue())
        entry.setTimeLocal(NO_DATE)
        out.putNextEntry(entry)
        out.write(data)
        out.closeEntry()
    }
}
