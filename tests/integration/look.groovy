/** Print what QuPath itself finds in the image, as a line `LOOK {…}`; args[0] is the exchange folder. */
import com.google.gson.GsonBuilder
import javax.imageio.ImageIO
import qupath.lib.io.PathIO
import qupath.lib.regions.RegionRequest
import static qupath.lib.scripting.QP.*

def describe = { object ->
    [id: object.getID().toString(), kind: object.getClass().getSimpleName(), name: object.getName(), locked: object.isLocked(),
     pathClass: object.getPathClass()?.toString(), roi: object.getROI().getRoiName(), z: object.getROI().getZ(),
     area: Math.round(object.getROI().getArea() * 10) / 10d, parent: object.getParent()?.getID()?.toString(),
     measurements: object.measurements.collectEntries { name, value -> [(name.toString()): value.isNaN() ? null : value] }]
}
def entry = getProjectEntry()
def data = getCurrentImageData()
def server = data.getServer()
def found = [entry: entry.getID(), name: entry.getImageName(), metadata: entry.getMetadataMap(), width: server.getWidth(),
             height: server.getHeight(), objects: data.getHierarchy().getFlattenedObjectList(null).findAll { it.getROI() != null }.collect(describe)]
def folder = new File(args[0], "regions")
def file = folder.listFiles()?.find { it.name.startsWith(entry.getID() + "_") && it.name.endsWith(".geojson") }
if (file != null)
    found["exported"] = PathIO.readObjects(file.toPath()).collect(describe)
if (args.length > 1) {
    def picture = new File(args[1], entry.getID() + ".png")
    ImageIO.write(server.readRegion(RegionRequest.createInstance(server.getPath(), 1d, 0, 0, server.getWidth(), server.getHeight())), "PNG", picture)
}
println "LOOK " + new GsonBuilder().serializeNulls().serializeSpecialFloatingPointValues().create().toJson(found)
