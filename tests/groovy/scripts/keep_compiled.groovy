// Caches the compiled library of the scripts in args[0], as QuPath's window does, or prints where its classes are loaded
// from (args[1] look).
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.objects.PathObject

def lib = new File(args[0], "lib")
def first = new GroovyClassLoader(PathObject.classLoader, new CompilerConfiguration(sourceEncoding: "UTF-8"))
def loader = first.parseClass(new File(lib, "Her2Loader.groovy")).of(lib)
if (!("look" in args))
    println "KEPT ${loader.loadClass("Her2Compiled").keep()}"
else
    println "FROM ${loader.loadClass("Her2Installation").protectionDomain.codeSource.location} " +
        "RUNNING ${loader.loadClass("Her2Installation").running()}"
