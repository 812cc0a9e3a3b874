// Times importing cells into a hierarchy and exporting them: args[0] ours|geojson, args[1] folder, args[2] rounds,
// args[3] file.
import java.awt.image.BufferedImage
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.images.servers.ImageServerProvider
import qupath.lib.io.PathIO
import qupath.lib.measurements.MeasurementList
import qupath.lib.measurements.MeasurementListFactory
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.PathObjectHierarchy
import qupath.lib.projects.Project
import qupath.lib.projects.Projects
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

int rounds = args[2] as int
read = []
machine = java.lang.management.ManagementFactory.getOperatingSystemMXBean()

/** Run `work` and print its name, the number of cells, wall and CPU seconds. */
void time(String what, Closure<Integer> work) {
    long start = System.nanoTime()
    long before = machine.getProcessCpuTime()
    int n = work()
    println "TIME ${what} ${n} ${(System.nanoTime() - start) / 1e9} ${(machine.getProcessCpuTime() - before) / 1e9}"
}

if (args[0] == "geojson") {
    rounds.times {
        time("geojson") {
            def hierarchy = new PathObjectHierarchy()
            read = PathIO.readObjects(new File(args[3]))
            hierarchy.addObjects(read)
            return hierarchy.nObjects()
        }
    }
    rounds.times {
        time("geojson-out") {
            PathIO.exportObjectsAsGeoJSON(new File(args[3] + ".out.geojson"), read, PathIO.GeoJsonExportOptions.FEATURE_COLLECTION)
            return read.size()
        }
    }
    return
}
def folder = new File(args[1])
def made = Projects.createProject(new File(folder, "project"), BufferedImage)
def support = ImageServerProvider.getPreferredUriImageSupport(BufferedImage, new File(folder, "white.png").toURI().toString())
def slot = made.addImage(support.getBuilders()[0])
def shown = slot.readImageData()
def region = PathObjects.createAnnotationObject(
    ROIs.createRectangleROI(0, 0, shown.getServer().getWidth(), shown.getServer().getHeight(), ImagePlane.getDefaultPlane()),
    PathClass.fromString("Tumor", null))
region.setID(UUID.fromString("10000000-0000-4000-8000-000000000001"))
shown.getHierarchy().addObject(region)
slot.saveImageData(shown)
made.syncChanges()

time("compile") {
    ["Her2Import", "Her2Plan", "Her2Changes", "Her2Objects", "Her2Transaction"].each { her2(it) }
    return 0
}
def importer = her2("Her2Import").getConstructor(Project, File).newInstance(made, new File(folder, "her2"))
importer.open = [(slot.getID()): shown]
importer.save = false
rounds.times {
    time("ours") { importer.push(slot).added }
    if (it < rounds - 1)
        time("remove") { importer.remove(slot).removed }
}
System.gc()
println "HEAP ${(Runtime.runtime.totalMemory() - Runtime.runtime.freeMemory()) >> 20} ${Runtime.runtime.maxMemory() >> 20}"

/** Copies of the cells as another program would make them: other IDs, other measurement names. */
PathObjectHierarchy asTheirs(Collection<PathObject> cells) {
    def hierarchy = new PathObjectHierarchy()
    def names = cells[0].getMeasurementList().getMeasurementNames()
    def others = names.collect { it.replace("HER2", "Cell").intern() }
    hierarchy.addObjects(cells.collect { PathObject cell ->
        def list = MeasurementListFactory.createMeasurementList(names.size(), MeasurementList.MeasurementListType.FLOAT)
        double[] values = cell.getMeasurementList().values()
        values.eachWithIndex { value, i -> list.put(others[i], value) }
        list.close()
        PathObjects.createCellObject(cell.getROI(), cell.getNucleusROI(), cell.getPathClass(), list)
    })
    return hierarchy
}

theirs = asTheirs(shown.getHierarchy().getCellObjects())
rounds.times {
    time("out") { her2("Her2ExportCells").write(theirs, new File(folder, "out.npz")) as int }
}
theirs = null

importer.save = true
importer.remove(slot)
time("saved") { importer.push(slot).added }

// ---- the library: the same lines in every script --------------------------

/** A class of the `lib` folder. One class loader serves the whole JVM, so that all scripts share the same classes. */
Class<?> her2(String name) {
    def own = new File(this.class.protectionDomain.codeSource.location.toURI())
    def run = binding.variables["qupath.script.file"]
    def user = UserDirectoryManager.getInstance().getScriptsDirectoryPath()
    def given = System.getProperty("qupath_her2.groovy")
    def places = [own.parentFile, run ? new File(run as String).parentFile : null,
                  user ? new File(user.toFile(), "HER2") : null, given ? new File(given) : null].findAll { it != null }
    def lib = places.collect { new File(it, "lib") }.find { new File(it, "${name}.groovy").isFile() }
    if (lib == null)
        throw new FileNotFoundException("lib/${name}.groovy of qupath-her2 not found in ${places.join(', ')}. " +
            "Keep the 'lib' folder next to the script, or install the scripts: qupath-her2 install-scripts")
    // The library may be updated while QuPath is open; each version gets a class loader of its own.
    def key = "qupath_her2.loader ${lib.canonicalPath} ${lib.listFiles()*.lastModified().max()}".toString()
    def shared = System.getProperties()
    synchronized (shared) {
        if (!shared.containsKey(key)) {
            def first = new GroovyClassLoader(PathObject.classLoader, new CompilerConfiguration(sourceEncoding: "UTF-8"))
            shared.put(key, first.parseClass(new File(lib, "Her2Loader.groovy")).of(lib))
        }
        return (shared.get(key) as ClassLoader).loadClass(name)
    }
}
