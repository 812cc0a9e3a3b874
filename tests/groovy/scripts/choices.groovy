// Prints the script arguments of choices remembered in the folder args[0].
import com.google.gson.Gson
import org.codehaus.groovy.control.CompilerConfiguration
import qupath.lib.objects.PathObject

def lib = new File(System.getProperty("qupath_her2.groovy"), "lib")
def loader = new GroovyClassLoader(PathObject.classLoader, new CompilerConfiguration(sourceEncoding: "UTF-8"))
def classes = loader.parseClass(new File(lib, "Her2Loader.groovy")).of(lib)
def found = classes.loadClass("Her2Choices").of(new File(args[0]))
println "WORDS " + new Gson().toJson(found.scoreArguments())
found.put("predict", [model: "/a/b", cam: "true"])
println "AGAIN " + new Gson().toJson(classes.loadClass("Her2Choices").of(new File(args[0])).scoreArguments())
