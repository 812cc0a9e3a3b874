// Scores a field of the slide args[0], then one of the slide args[1], in one session; runs go to args[2]. Each slide's
// own folder is all that is asked for. Prints the process of the service after each.
def found = Class.forName("groovy.lang.GroovyClassLoader").getConstructor(ClassLoader).newInstance(qupath.lib.objects.PathObject.classLoader)
found.addClasspath(new File(System.getProperty("qupath_her2.groovy"), "lib").path)
def results = found.loadClass("Her2Result")
args[0..1].eachWithIndex { String slide, int number ->
    def progress = found.loadClass("Her2Progress").newInstance("test", false)
    def warm = found.loadClass("Her2WarmService").newInstance([new File(slide).parentFile], progress)
    def field = [path: slide, rectangle: [x: 20, y: 20, width: 280, height: 280]]
    def result = results.read(warm.score(field, new File(args[2], "$number")))
    println "WARM cells=${result.cells.count} pid=${found.loadClass("Her2Service").find().pid}"
}
