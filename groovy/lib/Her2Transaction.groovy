import groovy.transform.CompileStatic
import java.util.function.BooleanSupplier
import qupath.lib.images.ImageData
import qupath.lib.objects.classes.PathClass
import qupath.lib.plugins.workflow.DefaultScriptableWorkflowStep
import qupath.lib.plugins.workflow.Workflow
import qupath.lib.plugins.workflow.WorkflowStep

/**
 * A plan carried out: objects, classes and measurements in memory, the step of the workflow, data on disk, metadata on
 * disk. Whatever fails or is cancelled, all of it is as before.
 */
@CompileStatic
class Her2Transaction {

    private static final String STEP = "HER2: "

    private final Her2Plan plan
    private final ImageData<?> image
    /** By the codes of the result's cells. */
    PathClass[] cellClasses = new PathClass[0]
    /** By the codes of the result's patches. */
    PathClass[] patchClasses = new PathClass[0]
    /** For the image's entry in the project; null values remove. */
    Map<String, String> metadata = [:]
    /** The name of the step in the workflow, and what *Create script* is to write for it; null takes ours out. */
    String step
    String script
    /** Null leaves the files alone: the image is changed in memory only. */
    Her2Saving saving
    BooleanSupplier cancelled = { false } as BooleanSupplier

    Her2Transaction(Her2Plan plan) {
        this.plan = plan
        image = plan.image
    }

    void run() {
        Her2Undo undo = new Her2Undo()
        try {
            saving?.checkWritable()
            saving?.keepBackup()
            new Her2Changes(plan, cellClasses, patchClasses, cancelled, undo).apply()
            putStep(undo)
            saving?.save(plan.after, metadata, undo)
        } catch (OutOfMemoryError problem) {
            takeBack(undo, problem)
            throw new Her2Refusal("QuPath's ${Runtime.getRuntime().maxMemory() >> 20} MB of memory are too little " +
                "for ${plan.cells.chosen.length} cells. Nothing was changed. Give it more: " +
                "Edit > Preferences > General > Maximum memory.")
        } catch (Throwable problem) {
            takeBack(undo, problem)
            throw problem
        }
    }

    /** An interrupted thread cannot write files, and files have to be put back too. */
    private static void takeBack(Her2Undo undo, Throwable problem) {
        boolean interrupted = Thread.interrupted()
        undo.takeBack(problem)
        if (interrupted)
            Thread.currentThread().interrupt()
    }

    private void putStep(Her2Undo undo) {
        Workflow workflow = image.getHistoryWorkflow()
        List<WorkflowStep> before = new ArrayList<WorkflowStep>(workflow.getSteps())
        List<WorkflowStep> ours = before.findAll { WorkflowStep it ->
            it.getName().startsWith(STEP)
        } as List<WorkflowStep>
        boolean wasChanged = image.isChanged()
        undo.remember {
            workflow.clear()
            workflow.addSteps(before)
            image.setChanged(wasChanged)
        }
        workflow.removeSteps(ours)
        if (script != null)
            workflow.addStep(new DefaultScriptableWorkflowStep(STEP + step,
                new LinkedHashMap<String, String>([run: plan.result.run]), script))
    }
}
