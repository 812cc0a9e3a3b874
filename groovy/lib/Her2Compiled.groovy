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
 * This library's classes, compiled and kept in QuPath's user folder under the sums of their sources and of themselves,
 * for Her2Loader to find at later starts.
 */
@CompileStatic
class Her2Compiled {

    /** Of more libraries or QuPaths than this the oldest are forgotten. */
    private static final int MOST = 6
    private static final long DELAY_MS = 30_000

    /** Keep them, in the background, if they are not kept yet; when QuPath has come up and its person has begun. */
    static void keepLater() {
        Thread thread = new Thread({
            Thread.sleep(DELAY_MS)
            keep()
        } as Runnable, "HER2 library")
        thread.setDaemon(true)
        thread.setPriority(Thread.MIN_PRIORITY)
        thread.start()
    }

    /** Keep them if they are not kept yet; returns whether they are kept now. */
    static boolean keep() {
        File lib = new File(Her2Installed.running(), "lib")
        File folder = Her2Loader.folder()
        if (folder == null || Her2Loader.kept(lib) != null)
            return folder != null
        try {
            Files.createDirectories(folder.toPath())
            Path draft = Files.createTempFile(folder.toPath(), "draft", ".tmp")
            write(lib, draft)
            String name = "${Her2Loader.nameOf(lib)}-${Her2Loader.digest([draft.toFile()])}.jar"
            Files.move(draft, folder.toPath().resolve(name))
            forgetOldest(folder)
            return true
        } catch (IOException problem) {
            // Nothing depends on it but the time that a start takes.
            LoggerFactory.getLogger("qupath-her2").debug("No compiled library is kept in {}", folder, problem)
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

    private static void forgetOldest(File folder) {
        List<File> files = (folder.listFiles() as List<File>).sort { File it -> -it.lastModified() }
        for (File file : files.drop(MOST))
            // One that another QuPath has open stays, on Windows.
            file.delete()
    }
}
