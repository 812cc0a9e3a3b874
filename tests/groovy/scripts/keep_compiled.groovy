// With the scripts in args[0]: keeps their library compiled, as QuPath's window does, or (args[1] look) says where it is from.
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.objects.PathObject

def lib = new File(args[0], "lib")
def first = new GroovyClassLoader(PathObject.classLoader, new CompilerConfiguration(sourceEncoding: "UTF-8"))
def loader = first.parseClass(new File(lib, "Her2Loader.groovy")).of(lib)
if (!("look" in args))
    println "KEPT ${loader.loadClass("Her2Compiled").keep()}"
else
    println "FROM ${loader.loadClass("Her2Installed").protectionDomain.codeSource.location} " +
        "RUNNING ${loader.loadClass("Her2Installed").running()}"
