// Scores the open image for each set of cut-points of the JSON list in file args[1], without changing it; args[0] is the
// folder of its run, args[2] the library, args[3] the file that the answers are written to.
import com.google.gson.GsonBuilder
import com.google.gson.JsonParser

def loader = Class.forName("groovy.lang.GroovyClassLoader").getConstructor(ClassLoader)
    .newInstance(qupath.lib.objects.PathObject.classLoader)
loader.addClasspath(args[2])
def cutPoints = loader.loadClass("Her2CutPoints")
def live = loader.loadClass("Her2LiveScore").getConstructors()[0].newInstance(getCurrentImageData(), new File(args[0]))
def answers = JsonParser.parseString(new File(args[1]).text).collect { given ->
    def cuts = given.isJsonNull() ? live.ofRun : cutPoints.of(given)
    def found = live.at(cuts)
    def classes = (0..<live.cells.count).collectEntries { [(live.cells.objects[it].getID().toString()): found.classes[it]] }
    [classes: classes, score: found.score, sentence: found.sentence, counts: found.counts, hScore: found.hScore(),
     problem: cuts.problem()]
}
def near = loader.loadClass("Her2NearCells").choose(live.cells, live.ofRun, "1_case01", 20)
new File(args[3]).text = new GsonBuilder().serializeNulls().create().toJson([
    answers: answers, refusal: live.refusal, corrected: live.corrected, changed: getCurrentImageData().isChanged(),
    near: near.collect { [uuid: it.id.toString(), why: it.why] }])
println "LIVE ${answers.size()}"
