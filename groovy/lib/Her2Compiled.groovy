import groovy.transform.CompileStatic
import java.nio.file.Files
import java.nio.file.Path
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import org.codehaus.groovy.control.CompilationUnit
import org.codehaus.groovy.control.Phases
import org.codehaus.groovy.tools.GroovyClass
import org.slf4j.LoggerFactory
import qupath.lib.objects.PathObject

/**
 * Caches this library's compiled classes in QuPath's user directory, under the checksums of their sources and of the
 * classes themselves; Her2Loader finds them at later starts.
 */
@CompileStatic
class Her2Compiled {

    /** Number of cached libraries (one per version of the library and of QuPath); older ones are deleted. */
    private static final int MAX_CACHED = 6
    private static final long DELAY_MS = 30_000

    /** Cache them in the background, some time after QuPath has started, if they are not cached yet. */
    static void keepLater() {
        Thread thread = new Thread({
            Thread.sleep(DELAY_MS)
            keep()
        } as Runnable, "HER2 library")
        thread.setDaemon(true)
        thread.setPriority(Thread.MIN_PRIORITY)
        thread.start()
    }

    /** Cache them if they are not cached yet; returns whether they are cached now. */
    static boolean keep() {
        File lib = new File(Her2Installation.running(), "lib")
        File folder = Her2Loader.folder()
        if (folder == null || Her2Loader.kept(lib) != null)
            return folder != null
        try {
            Files.createDirectories(folder.toPath())
            Path draft = Files.createTempFile(folder.toPath(), "draft", ".tmp")
            write(lib, draft)
            String name = "${Her2Loader.nameOf(lib)}-${Her2Loader.digest([draft.toFile()])}.jar"
            Files.move(draft, folder.toPath().resolve(name))
            deleteOldest(folder)
            return true
        } catch (IOException problem) {
            // Without the cache a start only takes longer.
            LoggerFactory.getLogger("qupath-her2").debug("Could not cache the compiled library in {}", folder, problem)
            return false
        }
    }

    private static void write(File lib, Path file) {
        CompilationUnit unit = new CompilationUnit(Her2Loader.options(), null,
            new GroovyClassLoader(PathObject.classLoader, Her2Loader.options()))
        for (File source : Her2Loader.sources(lib))
            unit.addSource(source)
        unit.compile(Phases.CLASS_GENERATION)
        try (ZipOutputStream out = new ZipOutputStream(Files.newOutputStream(file))) {
            for (GroovyClass made : (List<GroovyClass>) unit.getClasses()) {
                out.putNextEntry(new ZipEntry(made.getName().replace(".", "/") + ".class"))
                out.write(made.getBytes())
                out.closeEntry()
            }
        }
    }

    private static void deleteOldest(File folder) {
        List<File> files = (folder.listFiles() as List<File>).sort { File it -> -it.lastModified() }
        for (File file : files.drop(MAX_CACHED))
            // On Windows a jar that another QuPath has open cannot be deleted, and stays.
            file.delete()
    }
}
