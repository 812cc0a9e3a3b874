// Prints, for each guideline, the class of each pair of intensity and pattern, and score and sentence of each histogram
// in the JSON list of file args[0]: {counts: 16 numbers, clusters: numbers or null, case: its ISH values}. args[1] is the library, args[2] the
// file that the answers are written to.
import com.google.gson.GsonBuilder
import com.google.gson.JsonParser

def loader = Class.forName("groovy.lang.GroovyClassLoader").getConstructor(ClassLoader)
    .newInstance(qupath.lib.objects.PathObject.classLoader)
loader.addClasspath(args[1])
def tables = loader.loadClass("Her2GuidelineTable")
def asked = JsonParser.parseString(new File(args[0]).text)
def scoring = JsonParser.parseString('{"min_cells": 100, "noise_floor": 0.005}').getAsJsonObject()
def found = tables.keys().collectEntries { key ->
    def table = tables.of(key)
    def answers = asked.collect { one ->
        def caseInfo = one.getAsJsonObject().getAsJsonObject("case")
        def words = loader.loadClass("Her2ScoreWords").getConstructors()[0].newInstance(table, scoring, caseInfo)
        long[] counts = one.getAsJsonObject().getAsJsonArray("counts").collect { it.getAsLong() } as long[]
        int[] clusters = one.getAsJsonObject().getAsJsonArray("clusters").collect { it.getAsInt() } as int[]
        def verdict = words.verdict(counts, table.isByCluster() ? clusters : null)
        [score: verdict.score, sentence: verdict.sentence]
    }
    [(key): [classes: table.classOf, answers: answers]]
}
new File(args[2]).text = new GsonBuilder().serializeNulls().create().toJson(found)
println "WORDS ${asked.size()}"
