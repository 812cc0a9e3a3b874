// Runs the program args[0] as Python and cancels it when it has said something; then says what is still running of it.
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
    run.await({ events.size() > 0 } as BooleanSupplier, { JsonObject event -> events << event } as Consumer)
} catch (Throwable problem) {
    println "THROWN ${problem.class.simpleName}: ${problem.message}"
}
def children = new File(args[0], "children").readLines()*.trim()*.toLong()
def running = { children.count { ProcessHandle.of(it).map { h -> h.isAlive() }.orElse(false) } }
// The system keeps an ended process until somebody has asked for its exit code, which a busy machine does late.
for (int i = 0; i < 100 && running() > 0; i++)
    Thread.sleep(200)
println "CHILDREN ${children.size()} RUNNING ${running()}"
