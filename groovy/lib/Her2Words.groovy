import groovy.transform.CompileStatic
import java.util.regex.Pattern

/**
 * The words of messages in QuPath's boxes. Python and this library write each message once, with the flags, commands
 * and settings of a terminal; who reads it in QuPath is told what to click instead.
 */
@CompileStatic
class Her2Words {

    /**
     * Words of the terminal, as regular expressions that mean the same to Java and to Python, and what a box says.
     * tests/house/test_qupath_words.py reads this table, and every message that can reach a box.
     */
    static final Map<String, String> TABLE = [
        // With an annotation selected, QuPath asks for its area instead of the width of a pixel.
        'in QuPath \\(Image tab(?: → Pixel width)?\\),? (?:or )?pass --pixel-size-um(?: 0\\.25)?':
            'in the Image tab: click beside all annotations, so that none is selected, then double-click Pixel width',
        'or use images at their own scale with --um-px 0': 'or choose another network',
        '--pixel-size-um (\\S+) is not a plausible pixel size': '$1 µm is not a plausible pixel size',

        'Set the class of those that hold tumour to Tumor, score .+ under \\[regions\\] in her2\\.toml,':
            'Right-click each that holds tumour > Set classification > Tumor,',
        '(draw one and|tumour:) set (its|their) class to Tumor(?: in QuPath)?,':
            '$1 set $2 class (right-click > Set classification > Tumor),',
        'pass --find-tumour to search for it, or pass --whole-tissue':
            'or choose other regions: tumour that HER2 finds, or all tissue (Extensions > HER2 > Score…)',
        'or pass --whole-tissue|or score the whole tissue with --whole-tissue':
            'or score all tissue (Extensions > HER2 > Score…)',

        'has no class; set its class to Tumor in QuPath, or score .+ under \\[regions\\] in her2\\.toml':
            'has no class; if it holds tumour, right-click it > Set classification > Tumor',
        '(has no class that is known here; .+), or score .+ under \\[regions\\] in her2\\.toml': '$1',
        '; `qupath-her2 regions` lists them': '',
        '(\\d+) feature\\w? of the region file set aside, the first: feature \\d+ \\([^)]*\\)':
            'Annotations that were not used: $1. The first',
        'excluded; pass --keep-controls to include it': 'excluded',

        // Removing them forgets which were deleted.
        '; to have (?:it|them|7) proposed again, pass --force':
            '. To have all proposed again, remove the results (Extensions > HER2 > Results > Remove results)',

        // A run that is damaged is made anew, so a box never asks for more than to score again.
        '[Ss]core the image again with --force \\(run or predict\\)': 'Score the image again',
        'with the option force \\(a setting of the script; qupath-her2 run --force\\)':
            '(Extensions > HER2 > Score open image)',
        'Predict the image again(?: with --force|: qupath-her2 predict --force)': 'Predict the image again',
        'Export the project\'s regions \\(export_regions\\.groovy, or qupath-her2 pull\\) and score it':
            'Score the image again (Extensions > HER2 > Score open image)',
        'Export the regions and score the image again \\(Score open image, or qupath-her2 run\\)':
            'Score the image again (Extensions > HER2 > Score open image)',
        'Export the image again from QuPath \\(score it there, or qupath-her2 pull\\)':
            'Score the image again (Extensions > HER2 > Score open image)',
        'Score it first, here or in a terminal': 'Score it first (Extensions > HER2 > Score open image)',
        'Export it again: qupath-her2 pull --cells':
            'Classify the cells again (Extensions > HER2 > Cells > Classify existing cells)',
        'Pull the project again|then pull again|and pull again': 'Score the image again',
        'export them, or pull the project again': 'score the image again',
        'Run qupath-her2 pull \\S+, or export_regions\\.groovy in QuPath, then \\S+\\.':
            'Choose Extensions > HER2 > Score open image.',
        'Score the images first: qupath-her2 run FOLDER': 'Score an image first (Extensions > HER2 > Score open image)',
        ' \\(to redo: run or predict --force\\)': '',
        '\\. --force estimates them again and scores all images again': '',

        'Choose another folder(?: with|, or run with) --out DIR':
            'Make the project\'s folder writable, or copy the project',
        'or write to another disk with --out DIR|or use --out DIR|or choose another folder with --out':
            'or copy the project to another disk',
        'or pass --out DIR': 'or copy the project',
        'Choose a shorter folder with --out DIR': 'Move the project to a folder with a shorter path',

        'Check the path given to --config': 'Check that you may read it',
        'set in her2\\.toml': 'set in the settings of the project',
        'in QuPath or under \\[stain_vectors\\] in her2\\.toml':
            'in QuPath (Analyze > Preprocessing > Estimate stain vectors)',
        'Run it with device = "cpu" in her2\\.toml\'s \\[predict\\], or free': 'Free',
        'Switch the maps off: \\[cam\\] is_on = false': 'Predict without them',
        'Run again with fewer --workers': 'Close other programs and score again',
        'Please report it with the output of --debug': 'Please report it with the text of View > Show log',
        '^the flags$': 'the options',
        '(?:Install the scripts of that version|Update the scripts in QuPath) \\(qupath-her2 install-scripts\\)':
            'Install the scripts of that version (drag its install.groovy onto QuPath and press Run)',
        'or install the scripts: qupath-her2 install-scripts':
            'or install the scripts: drag install.groovy onto QuPath and press Run',
        'or start QuPath with: script \\w+\\.groovy -p project\\.qpproj': 'or create one',

        // The review window.
        'Next: qupath-her2 review collect .+': 'Collect the corrections first',
        'Score it first: qupath-her2 run .+\\.': 'Score it first (Extensions > HER2 > Score open image).',
        '--classes (\\S+) is no list': 'The classes $1 are no list',
        '--cuts (\\S+) are no rising numbers': 'The cut-points $1 are no rising numbers',
        'Pass --reviewer NAME': 'Type your name in the review window',

        // Cells and networks.
        'has no cells in its region file, but --cells from-regions was given\\. .+':
            'has no cells that could be classified. Detect them first (Analyze > Cell detection), or have them ' +
            'detected and scored: Extensions > HER2 > Score open image.',
        'No network was named to find cells. Pass --cells unet, or --cells her2net:CHECKPOINT':
            'No network was named to find cells. Choose one',
        '--cells (\\S+) needs the package': 'Cells by $1 need the package',
        'leave --cells out for the classical detector': 'choose the classical detector',
        'Pass --cells (\\w+):(\\S+)': 'Choose $1 with $2',
        'Use it to find cells: qupath-her2 run FOLDER --cells (\\w+):(\\S+)\\.':
            'It can find cells: choose it for them.',
        'Name the checkpoint of a segmenter: qupath-her2 models PROJECT lists them': 'Choose a segmenter',
        '--cells (\\S+) does not go with --method indicators': 'Cells by $1 do not go with the indicators',
        '--tumour-from needs --method indicators: cells are scored inside annotated regions':
            'Cells are scored inside annotated regions, and only the indicators in the tumour that a network finds',
        '--tumour-from \'(\\S+)\' is a network': '\'$1\' is a network',
        'Train one that finds tumour: qupath-her2 train FOLDER --recipe tumour-resnet34':
            'Choose one that was trained to find tumour',
        '--profile (\\S+) does not go with .+ Leave --profile out':
            'The profile $1 of cut-points goes with scoring by cells. Choose that, or no profile',
        '--find-tumour goes with scoring by cells, not with .+ Leave --find-tumour out':
            'Tumour is searched for only where cells are scored. Draw it instead',
        '--find-tumour scores the tumour that it finds, --whole-tissue everything on the glass':
            'The search for tumour and the whole tissue exclude each other',
        'Run qupath-her2 train FOLDER --recipe patch-count, or pass --rule majority':
            'Choose another rule for the class of an image: the majority of its patches',
        'Cut them (?:again|at that scale) \\(qupath-her2 patches --\\S+ \\S+\\), or train again':
            'Choose another network',
        'Pass --um-px \\S+ or more, or leave the image out': 'Choose a network trained at coarser pixels',

        ' \\(qupath-her2 indicators fit FOLDER\\) and pass them with --ranges FILE, or .+ all the same':
            ' (the README says how), or score by cells (Extensions > HER2 > Score…)',
        'Fit the ranges again: qupath-her2 indicators fit FOLDER': 'Fit the ranges again (the README says how)',
        'Measure the image again with --force': 'Measure the image again',
        ' \\(\\[indicators\\] in her2\\.toml\\)': '',

        // Pictures. An image of a project is the one picture and plane of its file that QuPath shows.
        'Export QuPath\'s own pixels: qupath-her2 pull PROJECT --pixels':
            'Save the image as OME-TIFF (File > Export images > OME TIFF) and add that file to the project',
        'Export its pixels with: qupath-her2 pull --pixels, or withPixels = true in export_regions\\.groovy':
            'Save the image as OME-TIFF (File > Export images > OME TIFF) and add that file to the project',
        'or add to a QuPath project and run qupath-her2 pull PROJECT --pixels': 'and add that file to the project',
        '--series and --plane choose in folders of images\\. Leave them out, or run the folder of the image file':
            'the settings must not choose another',
        ', \'case07\\.ome\\.tif --series 1 --plane 0\'': '',
        ', which is no image with --series or --plane': ', which names no picture or plane',
        'Leave out --series and --plane|Correct or leave out --plane': 'Leave that choice out',
        'Choose one with --series(?:, e\\.g\\. --series \\S+)?\\.':
            'Save the one you mean as an image of its own (File > Export images > OME TIFF).',
        'with --plane, e\\.g\\. --plane \\S+\\.':
            'and save it as an image of its own (File > Export images > OME TIFF).',
        'it was opened with --no-crop, that is,': 'it was added to the project uncropped, that is,',
        'is an image, not a project\\. Put it(?s:.+)': 'is an image, not a project. Add it to a project.',
    ].asImmutable()

    private static final Map<Pattern, String> PATTERNS =
        TABLE.collectEntries { String words, String instead -> [(Pattern.compile(words)): instead] }.asImmutable()

    /** A message as a box of QuPath shows it. */
    static String inQuPath(String message) {
        String shown = message
        if (shown == null)
            return null
        for (Map.Entry<Pattern, String> entry : PATTERNS.entrySet())
            shown = entry.key.matcher(shown).replaceAll(entry.value)
        return shown
    }
}
