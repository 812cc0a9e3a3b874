import groovy.transform.CompileStatic
import java.util.function.BooleanSupplier
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.objects.classes.PathClass
import qupath.lib.objects.hierarchy.events.PathObjectSelectionModel
import qupath.lib.plugins.workflow.DefaultScriptableWorkflowStep
import qupath.lib.plugins.workflow.ScriptableWorkflowStep
import qupath.lib.plugins.workflow.Workflow
import qupath.lib.plugins.workflow.WorkflowStep

/**
 * Carries out a plan: objects, classes and measurements in memory, the workflow step, then data and metadata on disk.
 * If anything fails or is cancelled, everything is restored.
 */
@CompileStatic
class Her2Transaction {

    private static final String STEP = "HER2: "
    /** The step of an annotation that was scored by itself; an image may have several. */
    static final String FIELD_STEP = "score selection"

    private final Her2Plan plan
    private final ImageData<?> image
    /** Indexed by the class codes of the result's cells. */
    PathClass[] cellClasses = new PathClass[0]
    /** Indexed by the class codes of the result's patches. */
    PathClass[] patchClasses = new PathClass[0]
    /** The class of proposed regions. */
    PathClass proposedClass
    /** For the image's entry in the project; a null value removes a key. */
    Map<String, String> metadata = [:]
    /** The workflow step's name, and the line that *Create script* writes for it; null only removes our old step. */
    String step
    String script
    /** Null changes the image in memory only. */
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
            new Her2Changes(plan, cellClasses, patchClasses, proposedClass, cancelled, undo).apply()
            replaceStep(undo)
            saving?.save(plan.after, metadata, undo)
            deselectRemoved()
        } catch (OutOfMemoryError problem) {
            undoAll(undo, problem)
            // Too small a heap is something the user can fix, so it is a refusal and not an unexpected error.
            throw new Her2Refusal("QuPath's ${Runtime.getRuntime().maxMemory() >> 20} MB of memory are not enough " +
                "for ${plan.cells.chosen.length} cells. Nothing was changed. Increase it: " +
                "Edit > Preferences > General > Set max memory.")
        } catch (Throwable problem) {
            undoAll(undo, problem)
            throw problem
        }
    }

    /** QuPath goes on drawing selected objects that were removed, as if they were still there. */
    private void deselectRemoved() {
        PathObjectSelectionModel selection = image.getHierarchy().getSelectionModel()
        List<PathObject> gone = selection.getSelectedObjects().findAll { PathObject it ->
            it.getParent() == null && !it.isRootObject()
        } as List<PathObject>
        if (!gone.isEmpty())
            selection.deselectObjects(gone)
    }

    /** Undo everything. An interrupted thread cannot write files, so the interruption waits until they are restored. */
    private static void undoAll(Her2Undo undo, Throwable problem) {
        boolean interrupted = Thread.interrupted()
        undo.run(problem)
        if (interrupted)
            Thread.currentThread().interrupt()
    }

    private boolean isReplaced(WorkflowStep step) {
        boolean isOfField = step.getName() == STEP + FIELD_STEP && step instanceof ScriptableWorkflowStep
        if (!isOfField)
            return plan.kind.field == null && step.getName().startsWith(STEP)
        // The line of the step names the annotation.
        return plan.kind.isScore() || (plan.kind.field != null &&
            ((ScriptableWorkflowStep) step).getScript().contains(plan.kind.field.toString()))
    }

    private void replaceStep(Her2Undo undo) {
        Workflow workflow = image.getHistoryWorkflow()
        List<WorkflowStep> before = new ArrayList<WorkflowStep>(workflow.getSteps())
        List<WorkflowStep> ours = before.findAll { WorkflowStep it -> isReplaced(it) } as List<WorkflowStep>
        boolean wasChanged = image.isChanged()
        undo.add {
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
