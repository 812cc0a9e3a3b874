"""Advice that `tests.unit.cli.test_advice` does not type, each with the reason or with the test that types it."""

from __future__ import annotations

__all__ = ["NOT_ADVICE", "TYPED_ELSEWHERE", "UNTYPED"]

_TRAINS = "Typing it trains a network; that the flag exists is checked by tests/house/test_flags.py."
_NETWORK = "Needs a trained network that does not fit; its flags are checked by tests/house/test_flags.py."
_QUPATH = "Needs a QuPath; tests/integration runs pull, run and push with one."
_DISK = "Needs a disk that is full or read-only, which a test as administrator cannot make."
_INSTALLATION = "Needs a damaged installation."
_HIDDEN = "Met from Python alone, or by files that the hash check before it lets through."
_RECIPE = "A remark on how a recipe differs from its paper; tests/house/test_flags.py checks its flags."

#: {piece of a text: why it is no advice on a fault}.
NOT_ADVICE = {
    '{} --shard "$((SLURM_ARRAY_TASK_ID + 1))/{}"': "A command of a script; tests/unit/batch/test_slurm.py reads it.",
    "status  no rounds in {} yet. Next: qupath-her2 review collect {}": (
        "The closing line of a verb; tests/unit/cli/test_review.py runs it."
    ),
    "{} files in {}. Next: qupath-her2 run {}": "The closing line of a verb; tests/unit/cli/test_example.py runs it.",
    "  {} cells (use them with --cells from-regions)": "A line of a list; tests/unit/cli/test_cells.py uses it.",
    "up to date; nothing to do (to redo: run or predict --force)": "A closing line; tests/unit/cli/test_run.py has it.",
    "more features were set aside for other reasons; `qupath-her2 regions` lists them.": (
        "Where the rest of a list stands; tests/unit/cli/test_regions.py reads it."
    ),
    "No scripts of qupath-her2 are installed in '{}'.": "The name of the package, not a command.",
    "set in her2.toml": "Says where stain vectors come from.",
    "the user chooses the images of a training with --images": _RECIPE,
    "width 32 in the first layers, 2.9 million parameters; --width changes it": _RECIPE,
    "fits a GPU of 16 GB; train.micro_batch_size in her2.toml changes it": _RECIPE,
    "--task er and --task pr for ER and PR.": _RECIPE,
    "80/10/10 by case; --folds 10 gives the paper's ten folds, also by case": _RECIPE,
    "80/10/10 by case; --folds 10 gives ten folds by case, one of them for validation": _RECIPE,
    "EfficientNet-lite0 with ImageNet weights; embed --encoder uni takes UNI": _RECIPE,
    "0.5 µm/px, as UNI was trained; --um-px changes it": _RECIPE,
    "3.5, 1.25 and 0.25 µm/px; compare.resolutions_um_px in her2.toml changes them": _RECIPE,
    "the package's own tissue detection; embed --tissue otsu-watershed takes the paper's": _RECIPE,
    'balanced class weights; [train.loss] kind = "focal" in her2.toml for focal loss': _RECIPE,
    "2 µm/px (about 5x); patches.grid.target_um_px in her2.toml changes it": _RECIPE,
    "60/20/20 by case; --split by-patch gives the paper's split, and its figures carry a warning": _RECIPE,
    "--layout bci keeps BCI's test part and takes a ninth of its training part for validation": _RECIPE,
    "squeezed to a square of 224 px, in training and in prediction alike; --size 512 for the larger": _RECIPE,
    "Next: qupath-her2 run {} --method indicators --ranges {}": (
        "The closing line of a verb; tests/unit/cli/test_indicators.py runs it."
    ),
}

#: {piece of a text: the test that follows the advice}.
TYPED_ELSEWHERE = {
    "cases in both training and test; cases are split anew. --split as-published keeps it.": (
        "tests/unit/patches/datasets/test_loaders.py::"
        "test_a_published_split_that_leaks_a_known_case_is_made_anew_unless_asked_for"
    ),
    "has no plan of a batch ({}). Plan first: qupath-her2 batch FOLDER --dry-run.": (
        "tests/unit/cli/test_batch.py::test_shards_need_a_plan_and_finish_writes_the_tables"
    ),
    "Not scored yet: run qupath-her2 batch again.": (
        "tests/unit/cli/test_batch.py::test_finishing_before_the_end_lists_what_is_missing"
    ),
    "submitted; progress: qupath-her2 status": (
        "tests/integration/test_batch_slurm.py::test_an_array_is_submitted_watched_and_finished"
    ),
    "no tumour region lies in any TMA core: redraw them in QuPath, or delete all tumour regions to score whole cores": (
        "tests/unit/runs/test_unscored_regions.py::test_tumour_outside_all_cores_is_refused_and_says_so"
    ),
    "or pass --user-dir with QuPath's user folder, e.g. --user-dir ~/QuPath/v0.6.": (
        "tests/unit/cli/test_install_scripts.py::test_scripts_go_into_the_named_folder_and_out_again"
    ),
    "excluded; pass --keep-controls to include it": (
        "tests/unit/scoring/indicators/test_tissue.py::test_controls_are_excluded_with_a_warning_unless_kept"
    ),
    "No image of '{}' has measured cells. Score it first: qupath-her2 run {}.": (
        "tests/unit/cli/test_review.py::test_an_image_must_be_scored_before_it_has_a_queue"
    ),
    "--profile {} does not go with the method '{}', which counts no cells. Leave --profile out.": (
        "tests/unit/runs/test_profile_choice.py::test_a_method_without_cells_takes_no_profile"
    ),
    "Nobody has labelled cells in '{}' yet. Choose cells (qupath-her2 review queue), set their classes in QuPath, and "
    "collect them (qupath-her2 review collect).": (
        "tests/unit/cli/test_review_calibrate.py::test_without_labels_the_way_to_them_is_said"
    ),
    "nothing says which cells were right as they were. Pass --queue-reviewed if all cells of the queue were": (
        "tests/unit/cli/test_review_calibrate.py::test_corrections_alone_need_the_queue"
    ),
    "Type it into the image's metadata in QuPath ('{}'), or pass --score 2+; the program never fills it in.": (
        "tests/unit/cli/test_review_sign.py::test_what_is_missing_is_said_and_typed"
    ),
    "An amendment of case '{}' needs its reason. Pass --note 'reason'.": (
        "tests/unit/cli/test_review_sign.py::test_what_is_missing_is_said_and_typed"
    ),
    "--from-review goes on from a network that was trained before. Name its checkpoint: --weights": (
        "tests/unit/cli/test_train.py::test_a_training_from_a_review_says_what_it_needs_and_what_it_does"
    ),
    "Collect corrections first (qupath-her2 review collect), or leave --from-review out.": (
        "tests/unit/cli/test_train.py::test_a_training_from_a_review_says_what_it_needs_and_what_it_does"
    ),
    "--recipe {} has no use for {}. Leave them out.": (
        "tests/unit/cli/test_tumour_training.py::test_what_does_not_apply_is_refused"
    ),
    "--recipe {} learns from what people corrected (qupath-her2 review collect). Add --from-review.": (
        "tests/unit/cli/test_tumour_training.py::test_what_does_not_apply_is_refused"
    ),
    "--recipe {} goes on from what a finder knows, and --weights random knows nothing. Leave it out.": (
        "tests/unit/cli/test_tumour_training.py::test_what_does_not_apply_is_refused"
    ),
    "Have tumour regions proposed (qupath-her2 propose), accept, edit or delete them in QuPath, and collect that "
    "(qupath-her2 review collect).": (
        "tests/unit/cli/test_tumour_training.py::test_what_does_not_apply_is_refused"
    ),
    "for which no patches are cut. Use qupath-her2 train FOLDER --recipe {} --from-review.": (
        "tests/unit/cli/test_tumour_training.py::test_what_does_not_apply_is_refused"
    ),
    'To use it, write find_tumour.finder = "{}" in her2.toml': (
        "tests/unit/cli/test_tumour_training.py::"
        "test_a_finder_that_forgets_is_not_written_and_one_that_helps_is_used_and_named"
    ),
    "All rounds count in each training: leave --weights out to go on from the finder of the package.": (
        "tests/unit/cli/test_tumour_training.py::"
        "test_a_finder_that_forgets_is_not_written_and_one_that_helps_is_used_and_named"
    ),
    "A greater --replay holds more of what it knows.": (
        "tests/unit/cli/test_tumour_training.py::"
        "test_a_finder_that_forgets_is_not_written_and_one_that_helps_is_used_and_named"
    ),
    "Give more cases to the test part, e.g. --shares 0.5,0.2,0.3, or add cases that nobody reviewed.": (
        "tests/unit/cli/test_train.py::test_a_training_from_a_review_says_what_it_needs_and_what_it_does"
    ),
    "may be of one case in training and test. Cut them with the default split for --from-review.": (
        "tests/unit/training/test_review_split.py::test_what_cannot_be_judged_is_refused"
    ),
    "--cuts {} are no rising numbers. Write e.g. 1,5,10.": (
        "tests/unit/cli/test_review.py::test_the_way_out_of_a_wrong_scale_works"
    ),
    "--classes {} is no list of two or more classes. Write e.g. 0,1+,2+,3+.": (
        "tests/unit/cli/test_review.py::test_the_way_out_of_a_wrong_scale_works"
    ),
    "Fit ranges on labelled cases of your own (qupath-her2 indicators fit FOLDER) and pass them with --ranges FILE, or "
    "pass --accept-ranges to score all the same": (
        "tests/unit/cli/test_indicators.py::test_a_fitted_table_scores_new_images_of_the_same_kind"
    ),
    "The ranges were fitted with other settings of the measurement ([indicators] in her2.toml).": (
        "tests/unit/cli/test_indicators.py::test_a_fitted_table_scores_new_images_of_the_same_kind"
    ),
    "evaluate needs the table to evaluate: pass --ranges FILE, which qupath-her2 indicators fit writes.": (
        "tests/unit/cli/test_indicators.py::test_evaluate_says_which_images_the_table_knows"
    ),
    "Fit the ranges again: qupath-her2 indicators fit FOLDER.": (
        "tests/unit/cli/test_indicators.py::test_fit_scores_each_case_without_itself_and_writes_the_table"
    ),
    # The service.
    "A certificate needs its key. Pass --tls-certificate and --tls-key together.": (
        "tests/unit/server/test_settings.py::test_a_network_is_used_with_encryption_or_with_the_risk_accepted"
    ),
    "Pass --tls-certificate and --tls-key, or accept that with --accept-plain-http.": (
        "tests/unit/server/test_settings.py::test_a_network_is_used_with_encryption_or_with_the_risk_accepted"
    ),
    "Start the service with --root and its folder.": (
        "tests/unit/server/test_jobs.py::test_a_slide_is_named_by_its_path_in_an_allowed_folder_only"
    ),
    "Start the service with a larger --max-upload-gb, or name the slide by its path.": (
        "tests/unit/server/test_uploads.py::test_too_large_an_upload_is_refused_and_removed"
    ),
    "No service runs for this user. Start one: qupath-her2 serve.": (
        "tests/unit/server/test_client.py::test_no_service_is_said_and_the_token_is_asked_for"
    ),
    "The service at '{}' does not answer ({}). Start it again: qupath-her2 serve.": (
        "tests/unit/server/test_client.py::test_a_service_that_went_away_is_said"
    ),
    "Cannot listen on {}:{} ({}). Pass another --port.": "tests/unit/server/test_serve.py::test_a_taken_port_is_said",
}

#: {piece of a text: why no test types it}.
UNTYPED = {
    "Correct or delete it in QuPath (right-click the image in the project list), then pull again.": _QUPATH,
    "objects of earlier results kept, since their files are gone (push --replace-lost replaces them)": _QUPATH,
    "'{}' has cells without classes. Score the image again with --force (run or predict).": _HIDDEN,
    "This account has no name ({}). Pass --reviewer NAME.": "Needs an account without a name, as in some containers.",
    "Export the image again from QuPath (score it there, or qupath-her2 pull).": _QUPATH,
    # Slide-level learning.
    "--features needs a network on features, and '{}' reads pixels. Leave it out.": _NETWORK,
    "There are no feature files. Embed the slides first: qupath-her2 embed FOLDER.": _HIDDEN,
    "are of another file than image '{}' is now. Embed it again: qupath-her2 embed FOLDER.": _HIDDEN,
    "slides have no features in '{}': {}. Embed them first: qupath-her2 embed FOLDER.": (
        "tests/unit/cli/test_bag_training.py embeds the slides that the message names."
    ),
    "Embed the slides at that scale (qupath-her2 embed FOLDER --um-px {}), or train again.": _NETWORK,
    "would be tested on patients it has seen. Split by case (--split by-case).": (
        "A split that no flag makes; splits by case are the default and tested as such."
    ),
    "The loss is no longer a number. Lower the learning rate (--learning-rate), and check the features.": _TRAINS,
    "--features needs one of the recipes {}. Leave it out.": _TRAINS,
    "--model {} is no network on bags. There are {}.": _TRAINS,
    "Recipe {} learns from features of whole slides, for which no patches are listed. Use qupath-her2 embed FOLDER, "
    "then qupath-her2 train FOLDER --recipe {}.": ("tests/unit/cli/test_bag_training.py types both."),
    # Encoders.
    "Accept its licence at https://huggingface.co/{}, then set HF_TOKEN to a token of that account (or run hf auth "
    "login); or download its files and pass their folder with --weights DIR.": (
        "Needs an account of the hub; tests/unit/models/test_encoders.py loads such a folder."
    ),
    "Download its files on a connected computer and pass their folder with --weights DIR.": (
        "Needs another computer; tests/unit/models/test_encoders.py loads such a folder."
    ),
    "pip install {}, or pass a file with --weights FILE.": _INSTALLATION,
    # Training and prediction.
    "Recipe '{}' trains a segmenter on windows. Cut them with: qupath-her2 patches FOLDER --recipe {}.": _TRAINS,
    "'{}' does not exist. Run qupath-her2 train FOLDER --recipe patch-count, or pass --rule majority.": _NETWORK,
    "--rivals compares networks and --study window sizes. Pass one at a time.": _TRAINS,
    "--study window cuts windows of several sizes itself. Leave --patches out.": _TRAINS,
    "--windows {} is not a list of sides in px. Write e.g. 151,251.": _TRAINS,
    "--normalise applies to networks that classify patches, and --recipe her2net segments. Leave it out.": _TRAINS,
    "Task '{}' labels pixels, and recipe '{}' classifies patches. Use --recipe her2net.": _TRAINS,
    "Leave out --patches to cut them anew, or cut them with qupath-her2 patches.": _TRAINS,
    "--rivals, --study and --width need --recipe her2net. Leave them out.": _TRAINS,
    "--folds applies to networks that classify patches, and --recipe her2net segments. Leave it out.": _TRAINS,
    "Name the checkpoint of a segmenter: qupath-her2 models PROJECT lists them.": _NETWORK,
    'Run it with device = "cpu" in her2.toml\'s [predict], or free memory used by other programs.': (
        "Needs a GPU with too little memory."
    ),
    "'{}' is not a training state ({}). Choose another output folder, or pass --restart.": _TRAINS,
    "'{}' has format {}; this version reads {}. Choose another output folder, or pass --restart.": _TRAINS,
    "settings differ ({}). Restore them, choose another output folder, or pass --restart.": _TRAINS,
    "Cut them again (qupath-her2 patches --size {}), or train again.": _NETWORK,
    "Cut them at that scale (qupath-her2 patches --um-px {}), or train again.": _NETWORK,
    "Pass the card of this network.": _HIDDEN,
    "Pass a file (--weights FILE.safetensors), or start from random weights (--weights random).": _TRAINS,
    "Model '{}' has no pretrained part that '{}' could fill. Leave --weights out.": _TRAINS,
    "The ImageNet weights '{}'{} cannot be downloaded ({}).": _TRAINS,
    "its model is '{}', not '{}' (--model {})": _TRAINS,
    "The package ships no weights for '{}'. Pass --model {} --weights shipped, or a checkpoint:": _TRAINS,
    "Choose another --model or another --recipe.": _TRAINS,
    "Recipe '{}' trains a segmenter, but these patches have no pixel labels. Cut windows with them:": _TRAINS,
    "Split with a test share (--shares), or leave --rivals out.": _TRAINS,
    "There are no patches in '{}' ({} is missing). Cut them with: qupath-her2 patches PROJECT.": _TRAINS,
    "Cut them with: qupath-her2 patches PROJECT --recipe her2net.": _TRAINS,
    "Use a finer scan, leave --cells out for the classical detector, or train the network": _NETWORK,
    "Checkpoint '{}' is of model '{}', not of '{}'. Pass --cells {}:{}": _NETWORK,
    "No network was named to find cells. Pass --cells unet, or --cells her2net:CHECKPOINT.": _HIDDEN,
    "is a segmenter, which does not classify patches. Use it to find cells: qupath-her2 run FOLDER --cells": _NETWORK,
    "Train one that finds tumour: qupath-her2 train FOLDER --recipe tumour-resnet34.": _TRAINS,
    "{} is damaged ({}). Predict the image again with --force.": _NETWORK,
    "'{}' is not a PNG with transparency. Predict the image again with --force.": _NETWORK,
    # Patches.
    "Add a column 'label' to cases.csv, or pass --keep-unlabelled.": "The flag is typed for regions without a label.",
    "Pull cells with nuclei (qupath-her2 pull --cells), annotate Membrane, Nucleus and Background": _QUPATH,
    "Set crop_px in [patches.segmentation] of her2.toml, 0 for whole images.": (
        "tests/unit/patches/cutting sets it; that the setting exists is checked by tests/house/test_advice.py."
    ),
    "Annotate more, or lower least_known in [patches.segmentation] of her2.toml.": (
        "tests/unit/patches/cutting sets it; that the setting exists is checked by tests/house/test_advice.py."
    ),
    "Add cases, or try another --seed.": "Whether another seed helps is chance, as the message says.",
    "Task 'segmentation' has one class per pixel. Use `cut_windows`, or pass --recipe her2net.": _HIDDEN,
    "has no pixel size, but the membrane width is in µm.": "The same flag is typed for patches without targets.",
    "pass --pixel-size-um 0.25, or use images at their own scale with --um-px 0.": (
        "A folder counts such images instead, and its message is typed."
    ),
    "too coarse for patches at {} µm/px. Pass --um-px {} or more, or leave the image out.": (
        "A folder counts such images instead, and its message is typed."
    ),
    "Pass the folder that contains train and test.": "Naming another folder is typed for images and projects.",
    "'{}' is not named like {}, so its label is unknown. Check --layout.": "Leaving --layout out is typed.",
    "No target can be drawn at {} µm/px, because the membrane width is in µm.": (
        "The same flag is typed for patches without targets."
    ),
    "is part of a published data set. Set another truth in [patches.segmentation] of her2.toml.": _HIDDEN,
    # QuPath.
    "Export it again: qupath-her2 pull --cells.": _QUPATH,
    "Project '{}' has not been exported yet. Run qupath-her2 pull": _QUPATH,
    "Pass the path of one of them.": _QUPATH,
    "QuPath {} ran out of memory ({} MB). Give it more: --heap {}.": _QUPATH,
    "Use a larger machine, or try with less memory: --heap {}.": _QUPATH,
    "push    {}/{} up to date; nothing to do (to write them again: push --force)": _QUPATH,
    "There is nothing to push in '{}': the project was never pulled.": _QUPATH,
    "No image has a result in '{}'. Run first: qupath-her2 run PROJECT.qpproj.": _QUPATH,
    "is not a QuPath project. Pass a project.qpproj, or the folder that contains it.": _QUPATH,
    "Export QuPath's own pixels: qupath-her2 pull PROJECT --pixels.": _QUPATH,
    "or add to a QuPath project and run qupath-her2 pull PROJECT --pixels": _QUPATH,
    "'{}' lists '{}', which is not in its folder. Delete '{}' and the scripts there.": (
        "tests/unit/project/qupath/test_scripts.py installs after each damage."
    ),
    "'{}' cannot be read ({}). Delete it and install the scripts again.": (
        "tests/unit/project/qupath/test_scripts.py installs after each damage."
    ),
    "has no class that is known here; name its layer": "The setting is typed for GeoJSON; one rule reads both.",
    "has no class that is known here; give it the title": "The setting is typed for GeoJSON; one rule reads both.",
    # Images of a file.
    "--series and --plane choose in projects and folders, not with --layout {}. Leave them out.": (
        "Leaving flags out is typed for others that --layout excludes."
    ),
    "images.named has {}, which is no image with --series or --plane.": "A setting that its own check refuses by name.",
    "which shows one picture and plane of its file; --series and --plane choose in folders of images.": _QUPATH,
    "an image with its choice, 'case07.ome.tif --series 1 --plane 0'": "The form of a setting, in its own refusal.",
    "Leave out --series and --plane.": "The tests of the readers choose series and planes, and leave them out.",
    "Choose one with --series": "The tests of the readers choose the series that the message names.",
    "Choose one of the planes 0 to {} with --plane, e.g. --plane {}.": "The tests of the readers choose the plane.",
    "Correct or leave out --plane.": "The tests of the readers choose planes, and leave them out.",
    "is a pipe or a device, not a file. Rename or delete it.": "Needs a pipe; tests/fuzz reads folders that hold some.",
    "'{}' is {}, not a file; rename or delete it": "Needs a pipe; tests/fuzz reads folders that hold some.",
    # Disks, installations, results.
    "Free some space, or use --out DIR.": _DISK,
    "Choose another folder, or run with --out DIR.": _DISK,
    "No space left to write {}. Free some space, or write to another disk with --out DIR.": _DISK,
    "Cannot write {}: the folder is read-only. Choose another folder with --out DIR.": _DISK,
    "Cannot write {}: the path is too long. Choose a shorter folder with --out DIR.": _DISK,
    "Cannot write {}: {}. Choose another folder with --out DIR.": _DISK,
    "The report '{}' cannot be written: {}. Free disk space, or choose another folder with --out.": _DISK,
    "pip install --force-reinstall imagecodecs openslide-bin": _INSTALLATION,
    "pip install --upgrade numba": _INSTALLATION,
    "pip install --force-reinstall openslide-bin": _INSTALLATION,
    "--cells {} needs the package '{}', which is not installed: pip install {}": _INSTALLATION,
    "Run again with fewer --workers; finished images are kept.": "Needs a machine that runs out of memory.",
    # Batches.
    "The plan in '{}' is of version {}. Plan again with this one: qupath-her2 batch FOLDER --dry-run.": (
        "Needs two versions; tests/unit/cli/test_batch.py plans again by the same command."
    ),
    "The plan holds '{}.{}', which no plan is made of. Plan again: qupath-her2 batch FOLDER --dry-run.": (
        "Written by a stranger in tests/unit/batch/test_plan.py; the command is typed in tests/unit/cli/test_batch.py."
    ),
    "The plan in '{}' is damaged. Plan again: qupath-her2 batch FOLDER --dry-run.": (
        "Damage by hand; tests/unit/cli/test_batch.py plans again by the same command."
    ),
    "Look at the slide, then try again with --retry-failed.": (
        "Needs a machine that goes down five times; tests/contracts/test_executors.py tries failed images again."
    ),
    "Log in to one that is, or leave --executor slurm out.": "Needs another machine.",
    "--what predict needs a network: pass --model CKPT.": _NETWORK,
    "unexpected {}: {}. Please report it with the output of --debug.": "An error that is a fault of the program.",
    "The run '{}' holds no cells. Score the image by cells: qupath-her2 run.": _HIDDEN,
    "'{}' is damaged ({}); score the image again with --force (run or predict).": _HIDDEN,
    "The overlay.jpg of the run is not a valid JPEG.": _HIDDEN,
    "'{}' does not match its run.json ({}: {}).": _HIDDEN,
    "'{}' is damaged ({}). Score the image again with --force (run or predict).": _HIDDEN,
    # Scoring.
    "nuclei do not fit the pixel size: at {} µm they measure about {} µm": (
        "tests/unit/cells/test_scale.py measures at the pixel size that the message names."
    ),
    "{} deleted in QuPath {} left out; to have {} proposed again, pass --force.": _QUPATH,
    "{}{} µm wide at {} µm per pixel; about {} µm per pixel fits, unless these are no tumour cells. Check the pixel "
    "size in QuPath (Image tab), or pass --pixel-size-um.": (
        "tests/unit/cells/test_scale.py measures at the pixel size that the message names."
    ),
    "Run hash {} is not hexadecimal; pass the value of input_hash().": _HIDDEN,
    "no tumour region: annotate one, or score the whole tissue with --whole-tissue": _HIDDEN,
    "in her2.toml, or score the images together with strongly stained ones": (
        "Vectors in her2.toml are read by tests/unit/test_config.py."
    ),
    "--force estimates them again and": (
        "tests/unit/runs/test_stain_groups.py estimates stored stain vectors again."
    ),
    "{} is damaged ({}). Measure the image again with --force.": _HIDDEN,
    "The slides were measured in different areas ({}), whose ranges differ. Draw tumour regions in all of them, or "
    "choose images of one kind with --images.": (
        "Nothing but the choice of images; tests/unit/training/test_indicator_ranges.py meets the message."
    ),
    "Recipe {} trains nothing: its indicators are measured by qupath-her2 run --method indicators, and its ranges "
    "fitted by qupath-her2 indicators fit. Its tumour network is the recipe {}.": _TRAINS,
}
