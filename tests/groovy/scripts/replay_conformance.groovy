// Reads every conformance set of folder args[0], writes to folder args[1] how this QuPath reads it, and exports each
// project.
import java.awt.image.BufferedImage
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectIO

List<PathObject> flat(Collection<PathObject> objects) {
    return objects.collectMany { [it] + flat(it.getChildObjects()) }.findAll { !it.isRootObject() }
}

new File(args[0]).listFiles().findAll { it.isDirectory() }.sort { it.name }.each { set ->
    def out = new File(args[1], set.name)
    out.mkdirs()
    set.listFiles().findAll { it.name.endsWith(".geojson") }.each { file ->
        PathIO.exportObjectsAsGeoJSON(new File(out, file.name), flat(PathIO.readObjects(file)))
    }
    def project = ProjectIO.loadProject(new File(set, "project/project.qpproj"), BufferedImage)
    def entry = project.getImageList()[0]
    def data = her2("Her2DataFile").ofMoved(project, entry)
    PathIO.exportObjectsAsGeoJSON(new File(out, "saved.geojson"), flat(data.getHierarchy().getRootObject().getChildObjects()))
    def parents = flat(data.getHierarchy().getRootObject().getChildObjects()).findAll { !it.getParent().isRootObject() }
    new File(out, "parents.txt").setText(parents.collect { "${it.getID()} ${it.getParent().getID()}\n" }.sort().join(), "UTF-8")

    def export = her2("Her2Export").getConstructor(Project, File).newInstance(project, new File(set, "project/her2"))
    export.withCells = true
    println "EXPORTED ${set.name} ${export.run()}"
}

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
