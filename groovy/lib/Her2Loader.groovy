import java.security.MessageDigest
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.gui.UserDirectoryManager
import qupath.lib.objects.PathObject

/**
 * The class loader of this library. Compiling it takes seconds, so what Her2Compiled kept in QuPath's user folder is
 * taken where it is of the very sources that lie here. Not compiled statically: this alone is compiled at every start.
 */
class Her2Loader {

    /** A loader of the classes whose sources lie in `lib`. */
    static ClassLoader of(File lib) {
        def loader = new GroovyClassLoader(PathObject.classLoader, options())
        def kept = kept(lib)
        if (kept != null)
            loader.addURL(kept.toURI().toURL())
        // After the classes, so that these win; it also says where the library lies.
        loader.addClasspath(lib.path)
        return loader
    }

    static CompilerConfiguration options() {
        return new CompilerConfiguration(sourceEncoding: "UTF-8")
    }

    static List<File> sources(File lib) {
        return lib.listFiles().findAll { it.name.endsWith(".groovy") }.sort { it.name }
    }

    /** Where compiled classes are kept (`-Dqupath_her2.compiled` names another place); null without a user folder. */
    static File folder() {
        def named = System.getProperty("qupath_her2.compiled")
        if (named)
            return new File(named)
        def user = UserDirectoryManager.getInstance().getUserPath()
        return user == null ? null : new File(user.toFile(), "her2-compiled")
    }

    /** The compiled classes of these sources; null where there are none, or where they are not as they were written. */
    static File kept(File lib) {
        def files = folder()?.listFiles() ?: new File[0]
        if (files.length == 0)
            return null
        def name = nameOf(lib)
        return files.find { it.name.startsWith(name) && it.name == "${name}-${digest([it])}.jar".toString() }
    }

    /** By what compiled classes are known: the sources, Groovy, Java and QuPath's own classes. */
    static String nameOf(File lib) {
        def core = new File(PathObject.protectionDomain.codeSource.location.toURI())
        def made = "${GroovySystem.version} ${System.getProperty("java.specification.version")} ${core.name} " +
            "${core.length()}"
        return digest(sources(lib), made)
    }

    /** SHA-256 of words and files, shortened: it guards against damage, not against the folder's owner. */
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
