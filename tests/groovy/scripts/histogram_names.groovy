// Prints where the names of cut-points stand, each 40 px wide, in a picture of 254 px with gaps of 6 px: args[0] is the
// list of their lines with commas, args[1] the library.
def loader = Class.forName("groovy.lang.GroovyClassLoader").getConstructor(ClassLoader)
    .newInstance(qupath.lib.objects.PathObject.classLoader)
loader.addClasspath(args[1])
def lines = args[0].split(",").collect { it as double } as double[]
def widths = lines.collect { 40.0d } as double[]
println "PLACES ${loader.loadClass('Her2Histogram').places(lines, widths, 254.0d, 6.0d) as List}"
