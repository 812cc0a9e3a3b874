// Scores args[3] fields of side args[2] px of the slide args[0] by the running service, with options args[4] (JSON),
// the first at x = y = args[5], each read as the import reads it; runs go to args[1]. Prints what was found and how long each field took.
import com.google.gson.Gson

def found = Class.forName("groovy.lang.GroovyClassLoader").getConstructor(ClassLoader).newInstance(qupath.lib.objects.PathObject.classLoader)
found.addClasspath(new File(System.getProperty("qupath_her2.groovy"), "lib").path)
def type = found.loadClass("Her2Service")
def results = found.loadClass("Her2Result")
println "FOLDER ${type.folder()}"
def environment = [LOCALAPPDATA: "/u/local", XDG_STATE_HOME: "/u/state"]
println "STATES ${['windows 11', 'mac os x', 'linux'].collect { type.stateFolder(it, environment, new File('/h')) }}"
try {
    def service = type.find()
    println "SERVICE ${service?.version}"
    if (service != null) {
        int side = args[2] as int
        int from = args[5] as int
        (args[3] as int).times { int number ->
            def options = new Gson().fromJson(args[4], Map)
            def field = [path: args[0], rectangle: [x: from + 40 * number, y: from, width: side, height: side], options: options]
            long start = System.nanoTime()
            def run = service.scoreField(field, new File(args[1], "field $number"))
            def result = results.read(run)
            long ms = (System.nanoTime() - start).intdiv(1_000_000)
            println "FIELD cells=${result.cells == null ? 0 : result.cells.count} score=${result.scoreText()} ms=$ms"
        }
    }
} catch (Throwable problem) {
    println "THROWN ${problem.class.simpleName}: ${problem.message}"
}
