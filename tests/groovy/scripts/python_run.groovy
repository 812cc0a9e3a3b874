// Runs the configured Python in folder args[0], cancels it after its first event, and prints which events were passed on
// and which of its descendants are still running.
import com.google.gson.JsonObject
import java.util.function.BooleanSupplier
import java.util.function.Consumer

def found = Class.forName("groovy.lang.GroovyClassLoader").getConstructor(ClassLoader).newInstance(qupath.lib.objects.PathObject.classLoader)
found.addClasspath(new File(System.getProperty("qupath_her2.groovy"), "lib").path)
def python = found.loadClass("Her2Python").find()
println "PYTHON ${python.version} ${python.packageVersion}"

def environment = [PYTHONPATH: "x", PythonHome: "x", CONDA_PREFIX: "x", VIRTUAL_ENV: "x", JAVA_TOOL_OPTIONS: "x", HOME: "/h"]
found.loadClass("Her2Python").clean(environment, new File("/p/python"))
println "CLEAN ${environment.keySet().sort()}"

def run = found.loadClass("Her2PythonRun").getConstructor(found.loadClass("Her2Python"), List, File)
    .newInstance(python, ["tree"], new File(args[0]))
def events = []
try {
    run.await({ events.size() > 0 } as BooleanSupplier, { JsonObject event ->
        events << event
        // Python tells of an end while QuPath is busy with the event before.
        for (int i = 0; i < 300 && !new File(args[0], "told").exists(); i++)
            Thread.sleep(200)
    } as Consumer)
} catch (Throwable problem) {
    println "THROWN ${problem.class.simpleName}: ${problem.message}"
}
println "EVENTS ${events.collect { it.get('event').asString }}"
def children = new File(args[0], "children").readLines()*.trim()*.toLong()
def running = { children.count { ProcessHandle.of(it).map { h -> h.isAlive() }.orElse(false) } }
// An ended process exists until its exit code is collected, which can take a while on a busy machine.
for (int i = 0; i < 100 && running() > 0; i++)
    Thread.sleep(200)
println "CHILDREN ${children.size()} RUNNING ${running()}"
