// Runs the steps args[2..] with the library on the project in folder args[0]; dumps go to folder args[1].
import com.google.gson.GsonBuilder
import java.awt.image.BufferedImage
import java.util.function.BooleanSupplier
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.io.GsonTools
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.projects.ProjectIO
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.ROIs

gson = GsonTools.getInstance()
study = null
slot = null
shown = null
limit = -1
thrown = false
replaces = false
folder = "her2"

void open() {
    study = ProjectIO.loadProject(new File(args[0], "project.qpproj"), BufferedImage)
    slot = study.getImageList()[0]
    shown = slot.readImageData()
}

/** Every object as QuPath writes it, with its parent, in hierarchy order. */
List described(PathObject parent) {
    def found = []
    parent.getChildObjectsAsArray().each { object ->
        found << [id: object.getID().toString(), parent: parent.isRootObject() ? null : parent.getID().toString(),
            kind: object.getClass().getSimpleName(), locked: object.isLocked(), probability: object.getClassProbability().toString(),
            roi: object.getROI().getClass().getSimpleName(), geojson: gson.toJson(object, PathObject)]
        found.addAll(described(object))
    }
    return found
}

void dump(String name) {
    def all = [objects: described(shown.getHierarchy().getRootObject()), metadata: new TreeMap(slot.getMetadataMap()),
        properties: shown.getProperties().keySet().sort(), steps: shown.getHistoryWorkflow().getSteps()*.getName(),
        changed: shown.isChanged(), type: shown.getImageType().toString(),
        cores: shown.getHierarchy().getTMAGrid().getTMACoreList().collect { it.getID().toString() }]
    new File(args[1], name + ".json").setText(new GsonBuilder().serializeNulls().create().toJson(all), "UTF-8")
}

def importer() {
    def made = her2("Her2Import").getConstructor(qupath.lib.projects.Project, File).newInstance(study, new File(args[0], folder))
    made.open = shown == null ? [:] : [(slot.getID()): shown]
    made.replacesLost = replaces
    int asked = 0
    made.cancelled = { ->
        asked++
        if (thrown && asked == limit)
            throw new IllegalArgumentException("drawn fault")
        return !thrown && asked == limit
    } as BooleanSupplier
    return made
}

List<PathObject> ours() {
    return shown.getHierarchy().getDetectionObjects().findAll { her2("Her2Ids").isOurs(it.getID()) }.sort { it.getID().toString() }
}

List<PathObject> proposals() {
    return shown.getHierarchy().getAnnotationObjects().findAll {
        her2("Her2Ids").isOurs(it.getID()) && it.getPathClass().toString() == "Tumor?"
    }.sort { it.getID().toString() }
}

void edit(String what) {
    def hierarchy = shown.getHierarchy()
    def find = { int n -> hierarchy.getAnnotationObjects().find { it.getID().toString().endsWith(String.format("8000-%012d", n)) } }
    switch (what) {
        case "class": ours()[0].setPathClass(PathClass.fromString("Tumor: 3+", null)); ours()[1].setPathClass(null); break
        case "delete": hierarchy.removeObjects(ours()[2..3], true); break
        case "cell-outline":
            def moved = ours()[5]
            moved.setROI(moved.getROI().scale(1.2, 1.2, moved.getROI().getCentroidX(), moved.getROI().getCentroidY())); break
        case "clear": hierarchy.removeObjects(ours(), true); break
        case "copy":
            def copy = PathObjects.createDetectionObject(ours()[4].getROI(), ours()[4].getPathClass())
            copy.setID(UUID.fromString("40000000-0000-4000-8000-000000000001"))
            copy.getMeasurementList().put("HER2: m1", 5d)
            ours()[4].getParent().addChildObject(copy); break
        case "merge":
            def merged = PathObjects.createDetectionObject(ROIs.createRectangleROI(24, 72, 24, 8, ImagePlane.getDefaultPlane()))
            merged.setID(UUID.fromString("40000000-0000-4000-8000-000000000002"))
            def gone = ours().findAll { merged.getROI().contains(it.getROI().getCentroidX(), it.getROI().getCentroidY()) }
            println "MERGED " + gone.size()
            gone[0].getParent().addChildObject(merged)
            hierarchy.removeObjects(gone, true); break
        case "tiles":
            def tiles = ours().findAll { it.isTile() }
            tiles[0].setPathClass(PathClass.fromString("Zebra", null))
            hierarchy.removeObjects([tiles[1]], true); break
        case "foreign-class": find(4).getChildObjects().find { it.getID().toString().startsWith("2") }.setPathClass(PathClass.fromString("Zebra", null)); break
        case "outline": find(1).setROI(ROIs.createRectangleROI(20, 20, 159, 160, ImagePlane.getDefaultPlane())); break
        case "core":
            def core = hierarchy.getTMAGrid().getTMACoreList()[0]
            core.setROI(core.getROI().scale(0.4, 0.4, core.getROI().getCentroidX(), core.getROI().getCentroidY())); break
        case "class-of-region": find(4).setPathClass(PathClass.fromString("Stroma", null)); break
        case "new-region":
            def ignore = PathObjects.createAnnotationObject(ROIs.createRectangleROI(60, 60, 20, 20, ImagePlane.getDefaultPlane()), PathClass.fromString("Ignore*", null))
            hierarchy.addObject(ignore); break
        case "delete-region": hierarchy.removeObject(find(4), true); break
        case "duplicate":
            def twin = PathObjects.createDetectionObject(ROIs.createRectangleROI(300, 100, 5, 5, ImagePlane.getDefaultPlane()))
            twin.setID(find(4).getChildObjects().find { it.getID().toString().startsWith("2") }.getID())
            find(4).addChildObject(twin); break
        case "pixel-size":
            shown.updateServerMetadata(new qupath.lib.images.servers.ImageServerMetadata.Builder(shown.getServer().getMetadata()).pixelSizeMicrons(0.25, 0.25).build()); break
        case "inside":
            def whole = hierarchy.getAnnotationObjects().find { her2("Her2Ids").isOurs(it.getID()) }
            def drawn = PathObjects.createAnnotationObject(ROIs.createRectangleROI(60, 60, 20, 20, ImagePlane.getDefaultPlane()))
            drawn.setID(UUID.fromString("40000000-0000-4000-8000-000000000003"))
            whole.addChildObject(drawn); break
        case "accept": proposals()[0].setPathClass(PathClass.fromString("Tumor", null)); break
        case "reshape": proposals()[1].setROI(ROIs.createRectangleROI(100, 200, 33, 33, ImagePlane.getDefaultPlane())); break
        case "reshape-accepted":
            def accepted = hierarchy.getAnnotationObjects().find { her2("Her2Ids").isOurs(it.getID()) && it.getPathClass().toString() == "Tumor" }
            accepted.setROI(accepted.getROI().translate(3, 3)); break
        case "delete-proposals": hierarchy.removeObjects(proposals(), true); break
        case "own-score": slot.putMetadataValue("HER2 score", "1+ (Dr. X)"); break
        default: throw new IllegalArgumentException(what)
    }
}

void report(String step, Closure work) {
    try {
        println "DONE ${step}: ${her2("Her2Status").closingWords([state_: 0] + work())}"
    } catch (Throwable problem) {
        println "FAILED ${step}: ${problem.class.simpleName}: ${problem.message} CAUSE ${problem.cause}"
        problem.suppressed.each { println "SUPPRESSED " + it }
    }
    limit = -1
}

open()
println "READY"
for (String step : args[2..-1]) {
    def words = step.split("=", 2)
    switch (words[0]) {
        case "dump": dump(words[1]); break
        case "edit": edit(words[1]); break
        case "cancel": limit = words[1] as int; thrown = false; break
        case "throw": limit = words[1] as int; thrown = true; break
        case "current": new File(words[1]).with { her2("Her2Status").replace(new File(it.parentFile, "current.json").toPath(), ('{"run":"' + it.name + '"}').bytes) }; break
        case "folder": folder = words[1]; break
        case "replace": replaces = true; break
        case "push": report(step) { def d = importer(); d.push(slot) }; break
        case "push-closed": report(step) { shown = null; def d = importer(); def r = d.push(slot); open(); r }; break
        case "push-memory": report(step) { def d = importer(); d.save = false; d.push(slot) }; break
        case "dry": report(step) { def d = importer(); d.dryRun = true; d.push(slot) }; break
        case "push-halted":
            // As a kill right before the project file is written.
            def halting = java.lang.reflect.Proxy.newProxyInstance(this.class.classLoader, [qupath.lib.projects.Project] as Class[],
                { proxy, method, words_ -> method.name == "syncChanges" ? Runtime.getRuntime().halt(9) : method.invoke(study, words_) } as java.lang.reflect.InvocationHandler)
            def halted = her2("Her2Import").getConstructor(qupath.lib.projects.Project, File).newInstance(halting, new File(args[0], "her2"))
            halted.push(slot)
            break
        case "unsaved":
            shown.setChanged(true)
            println "UNSAVED ${her2("Her2UnsavedChanges").isIn(shown, slot)}"
            break
        case "display": shown.setProperty("qupath.lib.display.ImageDisplay", words[1]); break
        case "property": shown.setProperty("mine", words[1]); break
        case "stains": shown.setImageType(qupath.lib.images.ImageData.ImageType.BRIGHTFIELD_H_E); break
        case "run": report(step) { importer().pushRun(new File(words[1])) }; break
        case "remove": report(step) { importer().remove(slot) }; break
        case "save": slot.saveImageData(shown); study.syncChanges(); break
        case "reopen": open(); break
        case "h-scores":
            def table = new qupath.lib.gui.measure.ObservableMeasurementTableData()
            table.setImageData(shown, shown.getHierarchy().getAnnotationObjects())
            shown.getHierarchy().getAnnotationObjects().each {
                println "HSCORE ${it.getID()} ${table.getNumericValue(it, 'Tumor: H-score')}"
            }
            break
        case "step": println "STEP " + shown.getHistoryWorkflow().getSteps().find { it.getName().startsWith("HER2") }.getScript(); break
        default: throw new IllegalArgumentException(step)
    }
}
println "REPLAYED"

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
