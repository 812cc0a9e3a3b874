import groovy.transform.CompileStatic
import qupath.lib.objects.PathObject
import qupath.lib.objects.classes.PathClass

/**
 * The class of an existing cell before we classified it, and the class we gave it: if it has a third one now, the user
 * changed it since, and it is theirs.
 */
@CompileStatic
class Her2PreviousClass {

    /** Class names; null for unclassified. */
    String before
    String given
    /** QuPath's probability of the previous class (NaN for none), and the cell's own colour (null for none). */
    double probability = Double.NaN
    Integer colour

    static Her2PreviousClass of(PathObject cell) {
        return new Her2PreviousClass(before: Her2Classes.nameOf(cell.getPathClass()),
            probability: cell.getClassProbability(), colour: cell.getColor())
    }

    /** Whether the cell still has the class we gave it. */
    boolean isUnchanged(PathObject cell) {
        return Her2Classes.nameOf(cell.getPathClass()) == given
    }

    /** Restore class, probability and colour. */
    void restore(PathObject cell) {
        PathClass pathClass = before == null ? null : PathClass.fromString(before, null)
        cell.setPathClass(pathClass, probability)
        cell.setColor(colour)
    }

    static byte[] pack(Map<UUID, Her2PreviousClass> all) {
        // Class names are stored once and referred to by number: a slide can have a million cells.
        List<String> names = new ArrayList<String>(new LinkedHashSet<String>(
            all.values().collectMany { Her2PreviousClass it -> [it.before, it.given] }
                .findAll { it != null } as List<String>))
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(64 + all.size() * 34)
        DataOutputStream out = new DataOutputStream(bytes)
        out.writeInt(names.size())
        for (String name : names)
            out.writeUTF(name)
        Map<String, Integer> codes = [:]
        for (int i = 0; i < names.size(); i++)
            codes.put(names[i], i)
        out.writeInt(all.size())
        for (Map.Entry<UUID, Her2PreviousClass> entry : all.entrySet()) {
            Her2PreviousClass cell = entry.value
            out.writeLong(entry.key.getMostSignificantBits())
            out.writeLong(entry.key.getLeastSignificantBits())
            out.writeShort(cell.before == null ? -1 : codes.get(cell.before))
            out.writeShort(cell.given == null ? -1 : codes.get(cell.given))
            out.writeDouble(cell.probability)
            out.writeBoolean(cell.colour != null)
            out.writeInt(cell.colour ?: 0)
        }
        return bytes.toByteArray()
    }

    static Map<UUID, Her2PreviousClass> unpack(byte[] bytes) {
        DataInputStream stream = new DataInputStream(new ByteArrayInputStream(bytes))
        String[] names = new String[stream.readInt()]
        for (int i = 0; i < names.length; i++)
            names[i] = stream.readUTF()
        int count = stream.readInt()
        Map<UUID, Her2PreviousClass> found = new LinkedHashMap<UUID, Her2PreviousClass>(count * 2)
        for (int i = 0; i < count; i++) {
            UUID id = new UUID(stream.readLong(), stream.readLong())
            int before = stream.readShort()
            int given = stream.readShort()
            Her2PreviousClass cell = new Her2PreviousClass(before: before < 0 ? null : names[before],
                given: given < 0 ? null : names[given], probability: stream.readDouble())
            boolean isColoured = stream.readBoolean()
            int colour = stream.readInt()
            cell.colour = isColoured ? (Integer) colour : null
            found.put(id, cell)
        }
        return found
    }
}
