import java.security.MessageDigest
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject

/**
 * The class loader of this library. Compiling the library takes seconds, so the classes that Her2Compiled cached in
 * QuPath's user directory are used if they were compiled from exactly these sources. This class alone is compiled at
 * every start, and not statically: that would take longer than it saves.
 */
class Her2Loader {

    /** A loader of the classes whose sources are in `lib`. */
    static ClassLoader of(File lib) {
        def loader = new GroovyClassLoader(PathObject.classLoader, options())
        def kept = kept(lib)
        if (kept != null)
            loader.addURL(kept.toURI().toURL())
        // Added after the jar, so that compiled classes win; Her2Installation finds the library's folder by it.
        loader.addClasspath(lib.path)
        return loader
    }

    static CompilerConfiguration options() {
        return new CompilerConfiguration(sourceEncoding: "UTF-8")
    }

    static List<File> sources(File lib) {
        return lib.listFiles().findAll { it.name.endsWith(".groovy") }.sort { it.name }
    }

    /** Folder of cached classes (`-Dqupath_her2.compiled` overrides it); null without a user directory. */
    static File folder() {
        def named = System.getProperty("qupath_her2.compiled")
        if (named)
            return new File(named)
        def user = UserDirectoryManager.getInstance().getUserPath()
        return user == null ? null : new File(user.toFile(), "her2-compiled")
    }

    /** The cached jar of these sources; null if there is none, or if it is damaged. */
    static File kept(File lib) {
        def files = folder()?.listFiles() ?: new File[0]
        if (files.length == 0)
            return null
        def name = nameOf(lib)
        return files.find { it.name.startsWith(name) && it.name == "${name}-${digest([it])}.jar".toString() }
    }

    /** What a cached jar is named after: the sources, the versions of Groovy and Java, and QuPath's core jar. */
    static String nameOf(File lib) {
        def core = new File(PathObject.protectionDomain.codeSource.location.toURI())
        def made = "${GroovySystem.version} ${System.getProperty("java.specification.version")} ${core.name} " +
            "${core.length()}"
        return digest(sources(lib), made)
    }

    /** SHA-256 of a text and files, shortened: it detects damage, not tampering by the folder's owner. */
    static String digest(List<File> files, String words = null) {
        def sum = MessageDigest.getInstance("SHA-256")
        if (words != null)
            sum.update(words.getBytes("UTF-8"))
        files.each {
            if (words != null)
                sum.update("\n${it.name}\n".getBytes("UTF-8"))
            sum.update(it.bytes)
        }
        return HexFormat.of().formatHex(sum.digest()).substring(0, 32)
    }
}
