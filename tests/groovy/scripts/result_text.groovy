// Prints what the box of a result says of the run in folder args[0]; args[1] is the library.
import com.google.gson.Gson

def loader = Class.forName("groovy.lang.GroovyClassLoader").getConstructor(ClassLoader)
    .newInstance(qupath.lib.objects.PathObject.classLoader)
loader.addClasspath(args[1])
def text = loader.loadClass("Her2ResultText").read(new File(args[0]), "First.\nSecond.\n- a warning")
println "TEXT " + new Gson().toJson([sentence: text.sentence, notes: text.notes, warnings: text.shownWarnings(),
    table: text.table, explanation: text.explanation, isScored: text.isScored])
