"""``train``: from labelled patches to a network with a card, learning curves, and metrics on held-out cases."""

from __future__ import annotations

import functools
import inspect
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qupath_her2.cli import options as o
from qupath_her2.cli import patch_options as p
from qupath_her2.cli import training_options as t
from qupath_her2.cli.verb import verb

if TYPE_CHECKING:
    from qupath_her2.config import Settings
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.recipes.recipe import Recipe
    from qupath_her2.training.types import TrainJob

__all__ = ["train"]


@verb
def train(
    folder: o.Folder,
    recipe: p.Recipe,
    images: o.Images = None,
    layout: p.Layout = p.LayoutName.project,
    stain: p.Stain = None,
    pixel_size_um: o.PixelSize = None,
    patches: t.Patches = None,
    features: t.Features = None,
    size: p.Size = None,
    um_px: p.UmPx = None,
    whole_tissue: p.WholeTissue = False,
    drop: p.Drop = None,
    task: p.Task = None,
    label_column: p.LabelColumn = None,
    skip_class: p.SkipClass = None,
    split: p.Split = None,
    shares: p.Shares = None,
    model: t.Model = None,
    weights: t.Weights = "pretrained",
    from_review: t.FromReview = False,
    replay: t.Replay = 3.0,
    width: t.Width = None,
    normalise: t.Normalise = None,
    name: t.Name = None,
    epochs: t.Epochs = None,
    batch_size: o.BatchSize = None,
    learning_rate: t.LearningRate = None,
    restart: t.Restart = False,
    folds: t.Folds = None,
    shuffle_labels: t.ShuffleLabels = False,
    rivals: t.Rivals = False,
    study: t.Study = None,
    windows: t.Windows = "101,151,201,251,301",
    device: o.Device = None,
    out: o.Out = None,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Train the network of a published system on the regions of a project.

    Patches are cut first, as the recipe says; options change that, and --patches takes patches already cut. The best
    checkpoint and its card go to FOLDER/her2/models/NAME, with report.html: learning curves, metrics on cases never
    seen, confusion matrices, the worst mistakes. A stopped training resumes.

    The tumour finder (--recipe tumour-finder --from-review) goes on with corrections in 3 cases or more: regions drawn,
    accepted, edited or deleted, cells marked or graded. FOLDER/her2/finders/NAME.npz is written only if it is better on
    reviewed cases that it has not seen, no worse on others, and has forgotten nothing of drawn tissue. Nothing uses it
    before her2.toml says so: find_tumour.finder = "NAME".

    [bold]Examples[/bold]

    qupath-her2 train study --recipe se-resnet50

    qupath-her2 train study --recipe lowres-convnext --task er --label-column ER

    qupath-her2 train study --recipe lowres-convnext --folds 10

    qupath-her2 train study --recipe clam-sb --folds 10

    qupath-her2 train study --recipe her2net --rivals

    qupath-her2 train study --recipe her2net --model unet --weights shipped

    qupath-her2 train study --recipe tumour-resnet34 --from-review --weights study/her2/models/tumour-resnet34/best

    qupath-her2 train study --recipe tumour-finder --from-review
    """
    from qupath_her2.cli.patch_cutting import checked_name, patch_overrides
    from qupath_her2.cli.review_training import check_known_weights, split_by_review
    from qupath_her2.runs.plan import exchange_folder, find_settings
    from qupath_her2.training.types import TrainJob

    if (code := _without_patches({n: value for n, value in locals().items() if n in _DEFAULTS})) is not None:
        return code
    _check_cutting(locals(), patches)
    name = None if name is None else checked_name(name)
    chosen = _recipe(recipe, normalise)
    overrides = _training_overrides(epochs, batch_size, learning_rate, device) | patch_overrides(
        grid={"patch_size_px": size, "target_um_px": um_px},
        whole_tissue=whole_tissue or None,
        drop=drop,
        task=task,
        label_column=label_column,
        skip_classes=skip_class,
        split=split,
        shares=shares,
    )
    settings = find_settings(folder, config, overrides, recipe=chosen)
    is_segmentation = _check_kind(chosen, settings, model)
    _check_flags(is_segmentation, of_segmenters=rivals or study is not None or width is not None, folds=folds)
    check_known_weights(weights, from_review)
    her2 = exchange_folder(folder, out)
    label = _label(recipe, model, task)
    place = patches or her2 / "patches" / _label(recipe, None, task)
    cut = functools.partial(
        _manifest, folder, progress=progress, cut_before=patches, layout=layout.value,
        stain=None if stain is None else stain.value, images=tuple(images or ()), out=out,
        pixel_size_um=pixel_size_um,
    )  # fmt: skip
    manifest = cut(settings, place)
    if from_review:
        manifest, label = split_by_review(manifest, her2, replay, settings), f"{label}-review"
    job = TrainJob(
        manifest,
        chosen,
        settings,
        out=her2 / "models" / (name or (f"{label}-control" if shuffle_labels else label)),
        model=model or chosen.model,
        weights=_weights(weights),
        is_control=shuffle_labels,
        resume=not restart,
        command=("qupath-her2", *sys.argv[1:]),
        options={} if width is None else {"width": width},
    )
    if is_segmentation:
        sides = tuple(windows.split(",")) if study == "window" else ()
        return _train_segmenters(job, place, cut, progress, with_rivals=rivals, sides=sides)
    return _train_classifiers(job, folds, progress)


def _without_patches(flags: dict[str, Any]) -> int | None:
    """Train a recipe that learns from no patches, and return its exit code; None for all others.

    All flags are given by name: those that do not apply are refused there.
    """
    from qupath_her2.cli.bag_training import is_bag_recipe, train_bag_recipe
    from qupath_her2.cli.tumour_training import train_tumour_finder
    from qupath_her2.recipes import TUMOUR_FINDER

    if flags["recipe"] == TUMOUR_FINDER:
        return train_tumour_finder(flags, _DEFAULTS)
    return train_bag_recipe(**flags) if is_bag_recipe(flags["recipe"], flags["features"]) else None


def _train_segmenters(job: TrainJob, *arguments: Any, **flags: Any) -> int:
    """Train segmenters; their modules are imported here, since they load torch."""
    from qupath_her2.cli.segmenter_training import train_segmenters

    return train_segmenters(job, *arguments, **flags)


def _train_classifiers(job: TrainJob, folds: int | None, progress: o.ProgressKind) -> int:
    from qupath_her2.cli.classifier_training import train_classifiers

    return train_classifiers(job, folds, progress)


#: Flags that say how patches are cut.
_CUTTING = ("size", "um_px", "whole_tissue", "drop", "task", "label_column", "skip_class", "split", "shares")
#: All flags of `train`, as its function has them, and what they are if not given.
_DEFAULTS = {name: one.default for name, one in inspect.signature(train).parameters.items()}


def _training_overrides(
    epochs: int | None, batch_size: int | None, learning_rate: float | None, device: str | None
) -> dict[str, Any]:
    """Return the flags of the training itself as the tables of ``her2.toml`` name them; None changes nothing."""
    return {
        "train": {
            "epochs": epochs,
            "batch_size": batch_size,
            "device": device,
            "schedule": {"learning_rate": learning_rate},
        },
        "predict": {"device": device},
    }


def _label(recipe: str, model: str | None, task: str | None) -> str:
    """Return the default folder name: a network or task other than the recipe's own must not overwrite its results."""
    parts = [recipe, *([] if model is None else [model.replace(":", "-")]), *([] if task is None else [task])]
    return "-".join(parts)


def _recipe(name: str, normalise: str | None) -> Recipe:
    """Return the recipe, with the stain normalisation of ``--normalise`` if that is given."""
    from qupath_her2.errors import SettingsError
    from qupath_her2.patches.tasks import SEGMENTATION
    from qupath_her2.recipes import find_recipe
    from qupath_her2.slides.stains.tissue_sample import normalisation_reference

    found = find_recipe(name)
    if normalise is None:
        return found
    if found.task == SEGMENTATION.name:
        raise SettingsError(
            "--normalise applies to networks that classify patches, and --recipe her2net segments. Leave it out."
        )
    if normalise == "none":
        return replace(found, stain=None)
    # Checked here, because training reads the reference only after all patches are cut.
    normalisation_reference(normalise)
    return replace(found, stain=normalise)


def _check_kind(recipe: Recipe, settings: Settings, model: str | None) -> bool:
    """Return whether a segmenter is trained; refuse a network or a recipe that does not fit the task."""
    from qupath_her2.errors import SettingsError
    from qupath_her2.patches.tasks import SEGMENTATION
    from qupath_her2.training.segmenter import check_model_fits_task

    task = settings.patches.task
    check_model_fits_task(model or recipe.model, task)
    is_segmentation = task == SEGMENTATION.name
    if is_segmentation and recipe.task != SEGMENTATION.name:
        # Its augmentation, loss and stain normalisation are those of a classifier.
        raise SettingsError(
            f"Task '{task}' labels pixels, and recipe '{recipe.name}' classifies patches. Use --recipe her2net."
        )
    return is_segmentation


def _check_cutting(values: dict[str, Any], patches: Path | None) -> None:
    """Refuse flags that say how patches are cut, among `values` by name, where they are cut already."""
    from qupath_her2.errors import SettingsError

    # Flags that were not given are None, or False.
    given = [f"--{name.replace('_', '-')}" for name in _CUTTING if values[name] not in (None, False)]
    if patches is not None and given:
        raise SettingsError(
            f"The patches in '{patches}' are already cut: {', '.join(given)} would change nothing. "
            f"Leave out --patches to cut them anew, or cut them with qupath-her2 patches."
        )


def _check_flags(is_segmentation: bool, *, of_segmenters: bool, folds: int | None) -> None:
    """Refuse flags that the recipe has no use for."""
    from qupath_her2.errors import SettingsError

    if of_segmenters and not is_segmentation:
        raise SettingsError("--rivals, --study and --width need --recipe her2net. Leave them out.")
    if folds is not None and is_segmentation:
        raise SettingsError(
            "--folds applies to networks that classify patches, and --recipe her2net segments. Leave it out."
        )


def _manifest(
    folder: Path,
    settings: Settings,
    target: Path,
    *,
    progress: o.ProgressKind,
    cut_before: Path | None,
    **source: Any,
) -> PatchManifest:
    """Return the patches already cut into `cut_before`, else cut them from the current regions into `target`."""
    from qupath_her2.cli.patch_cutting import cut_source, find_source
    from qupath_her2.patches.manifest import read_manifest
    from qupath_her2.runs.plan import exchange_folder

    if cut_before is not None:
        return read_manifest(cut_before)
    her2 = exchange_folder(folder, source["out"]) if source["layout"] == "project" else None
    return cut_source(find_source(folder, settings, **source), settings, target, progress, her2=her2)


def _weights(words: str) -> Literal["pretrained", "random", "shipped"] | Path:
    for known in ("pretrained", "random", "shipped"):
        if words == known:
            return known
    return Path(words)
