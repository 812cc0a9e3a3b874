import com.google.gson.JsonObject
import groovy.transform.CompileStatic
import java.nio.file.Files
import qupath.lib.plugins.parameters.ParameterList

/**
 * The choices of a dialog of ours, remembered in the exchange folder of each project: what the dialog calls them, and
 * the script arguments that they stand for.
 */
@CompileStatic
class Her2Choices {

    private static final String FILE = "choices.json"
    /** Choices whose labels the dialogs of ours share. */
    static final String SCOPE = "scope"
    /** Images that the user picks from a list: no scope of a script, which names each of them. */
    static final String PICKED = "picked"

    /** The cut-points that a person set by hand: the name of their profile. */
    static final String CUT_POINTS = "cut-points"

    static final Map<String, Map<String, String>> LABELS = ([
        cells    : [detect        : "Nuclei and membranes detected by HER2",
                    unet          : "The U-Net of HER2 (slower; needs torch)",
                    "from-regions": "Cells that the image has (QuPath, StarDist, InstanSeg, Cellpose)"],
        guideline: [recorded     : "As recorded for the image; else ASCO/CAP breast 2018/2023",
                    "breast-2018": "ASCO/CAP breast 2018/2023",
                    "breast-2013": "ASCO/CAP breast 2013",
                    "csco-2021"  : "CSCO breast 2021",
                    gastric      : "CAP/ASCP/ASCO gastric 2016"],
        specimen : [recorded : "As recorded for the image; else resection",
                    resection: "Resection",
                    biopsy   : "Biopsy"],
        regions  : [drawn         : "Tumor annotations",
                    "find-tumour" : "Tumor annotations; where there are none, tumour that HER2 finds",
                    "whole-tissue": "Tumor annotations; where there are none, all tissue"],
        scope    : [open      : "The open image",
                    (PICKED)  : "Images that I pick",
                    unscored  : "Images without a score",
                    all       : "All images"],
    ] as Map<String, Map<String, String>>).asImmutable()

    private final File file
    /** By dialog, such as `score`: the chosen keys. */
    private final Map<String, Map<String, Object>> dialogs = new TreeMap<String, Map<String, Object>>()

    private Her2Choices(File file) {
        this.file = file
    }

    /** The choices remembered in an exchange folder. A damaged file is refused, since it may hold a guideline. */
    static Her2Choices of(File her2) {
        Her2Choices found = new Her2Choices(new File(her2, FILE))
        if (!found.file.isFile())
            return found
        JsonObject content = Her2Json.read(found.file, "Delete it; the next dialog writes a new one.")
        for (String dialog : content.keySet()) {
            JsonObject chosen = Her2Json.object(content, dialog)
            Map<String, Object> values = new TreeMap<String, Object>()
            for (String key : chosen.keySet())
                values.put(key, Her2Json.text(chosen, key))
            found.dialogs.put(dialog, values)
        }
        return found
    }

    /** The chosen key of a choice of a dialog; the first one where nothing was chosen, or an unknown key. */
    String get(String dialog, String choice) {
        String found = text(dialog, choice)
        Set<String> known = LABELS.get(choice).keySet()
        return found in known ? found : known.first()
    }

    /** The value of anything else that a dialog remembers; "" where there is none. */
    String text(String dialog, String name) {
        return dialogs.getOrDefault(dialog, [:]).get(name)?.toString() ?: ""
    }

    /** Remember the values of a dialog, in the file too. */
    void put(String dialog, Map<String, Object> values) {
        dialogs.put(dialog, new TreeMap<String, Object>(values))
        try {
            Files.createDirectories(file.getParentFile().toPath())
            Her2Status.replace(file.toPath(), Her2Json.bytes(dialogs))
        } catch (IOException problem) {
            throw new Her2Refusal("'${file}' cannot be written ($problem). Make the project's folder writable, or " +
                "copy the project.")
        }
    }

    /** Add a choice to a dialog's parameters. */
    void addTo(ParameterList parameters, String dialog, String choice, String prompt, String help) {
        Map<String, String> labels = LABELS.get(choice)
        parameters.addChoiceParameter(choice, prompt, labels.get(get(dialog, choice)), labels.values().toList(), help)
    }

    /** The key that a dialog's parameters hold for a choice. */
    static String chosen(ParameterList parameters, String choice) {
        Object label = parameters.getChoiceParameterValue(choice)
        return LABELS.get(choice).find { Map.Entry<String, String> it -> it.value == label }.key
    }

    /** Arguments of a scoring script for the last choices in the dialog `score`, without the images. */
    List<String> scoreArguments() {
        List<String> words = []
        String cells = get("score", "cells")
        if (cells != "detect")
            words.add("cells=$cells".toString())
        String guideline = get("score", "guideline")
        String specimen = get("score", "specimen")
        // The gastric tables depend on the specimen: where it is not said, the case chooses between them.
        if (guideline == "gastric")
            words.addAll(["site=gastric", "guideline=" + (specimen == "recorded" ? "auto" : "gastric-" + specimen)])
        else if (guideline != "recorded")
            words.addAll(["site=breast", "guideline=$guideline".toString()])
        if (specimen != "recorded")
            words.add("specimen=$specimen".toString())
        words.addAll(regionArguments("score"))
        String profile = text(CUT_POINTS, "profile")
        if (!profile.isEmpty())
            words.add("profile=$profile".toString())
        return words
    }

    /** The same for one selected annotation, whatever else is drawn. */
    List<String> selectionArguments() {
        return scoreArguments() - regionArguments("score")
    }

    /** `whole-tissue` or `find-tumour`, or nothing where the drawn regions count. */
    List<String> regionArguments(String dialog) {
        String regions = get(dialog, "regions")
        return regions == "drawn" ? [] : [regions]
    }
}
