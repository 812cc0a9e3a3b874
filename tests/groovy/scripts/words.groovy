// Writes the messages of the JSON list args[0] to args[1], as boxes of QuPath show them; args[2] is the library.
import com.google.gson.Gson

def loader = Class.forName("groovy.lang.GroovyClassLoader").getConstructor(ClassLoader)
    .newInstance(qupath.lib.objects.PathObject.classLoader)
loader.addClasspath(args[2])
def words = loader.loadClass("Her2Words")
def messages = new Gson().fromJson(new File(args[0]).getText("UTF-8"), List)
new File(args[1]).setText(new Gson().toJson(messages.collect { words.inQuPath(it) }), "UTF-8")
println "WORDS ${messages.size()}"
