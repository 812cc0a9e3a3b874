"""``train``: from labelled patches to a network with a card, curves, and figures on cases it never saw."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

if TYPE_CHECKING:
    from qupath_her2.config import Settings
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.recipes.recipe import Recipe as RecipeOf

__all__ = ["train"]

Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="Another network of qupath-her2 models, or timm:NAME."),
]
Weights = Annotated[
    str,
    typer.Option(
        "--weights",
        metavar="WHAT",
        help="What training begins with: pretrained, random, a file of a backbone's, a checkpoint of yours "
        "(her2/models/NAME/best), or shipped: with --model unet, what the U-Net of the package has learnt.",
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Folder of the checkpoint in FOLDER/her2/models.")
]
Patches = Annotated[
    Path | None,
    typer.Option(
        "--patches",
        metavar="DIR",
        help="Patches cut before; without it they are cut as the recipe says.",
    ),
]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1, help="Passes over the training patches.")]
Rate = Annotated[float | None, typer.Option("--learning-rate", help="The first learning rate.")]
Normalise = Annotated[
    str | None,
    typer.Option(
        "--normalise",
        metavar="WHAT",
        help="Stains before the network: none, macenko:veta-2013, or macenko:FILE (a slide, or a profile); as the "
        "recipe says if not given. predict does the same.",
    ),
]
Folds = Annotated[
    int | None,
    typer.Option(
        "--folds",
        metavar="K",
        min=3,
        help="Cross-validate: K networks, each tested on cases of its own; mean and SD of every figure.",
    ),
]
Control = Annotated[
    bool,
    typer.Option(
        "--shuffle-labels",
        help="Train the control that cannot learn: what it reaches, chance or a fault reaches.",
    ),
]
Rivals = Annotated[
    bool,
    typer.Option(
        "--rivals", help="Of her2net: the paper's other networks too, on the same data, in one table."
    ),
]
Width = Annotated[
    int | None,
    typer.Option("--width", min=1, metavar="N", help="Of segmenters: channels of the first layers."),
]
Study = Annotated[
    Literal["window"] | None,
    typer.Option("--study", help="Of her2net: the paper's study of the window's size, in one table."),
]
Windows = Annotated[
    str, typer.Option("--windows", metavar="PX,PX", help="Of --study window: the sides that are compared.")
]
Again = Annotated[
    bool, typer.Option("--restart", help="Begin anew instead of going on where it was stopped.")
]


@verb
def train(
    folder: o.Folder,
    recipe: o.Recipe,
    images: o.Images = None,
    layout: o.Layout = o.LayoutName.project,
    stain: o.Stain = None,
    pixel_size_um: o.PixelSize = None,
    model: Model = None,
    weights: Weights = "pretrained",
    patches: Patches = None,
    name: Name = None,
    epochs: Epochs = None,
    batch_size: o.BatchSize = None,
    learning_rate: Rate = None,
    rivals: Rivals = False,
    study: Study = None,
    windows: Windows = "101,151,201,251,301",
    width: Width = None,
    normalise: Normalise = None,
    folds: Folds = None,
    device: o.Device = None,
    shuffle_labels: Control = False,
    restart: Again = False,
    out: o.Out = None,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Train a network of a published system on the regions of a project.

    The best checkpoint and its card lie in FOLDER/her2/models/NAME, with report.html: curves, figures on cases it never
    saw, confusion matrices, and the worst mistakes beside what spoke for them. A training that was stopped goes on.

    [bold]Examples[/bold]

    qupath-her2 train study --recipe se-resnet50

    qupath-her2 train study --recipe se-resnet50 --model resnet50 --name rival

    qupath-her2 train study --recipe her2net --rivals

    qupath-her2 train study --recipe her2net --model unet --weights shipped

    qupath-her2 train study --recipe lowres-convnext --folds 10
    """
    from qupath_her2.patches.tasks import SEGMENTATION
    from qupath_her2.runs.plan import exchange_folder, find_settings
    from qupath_her2.training.classifier import TrainJob
    from qupath_her2.training.segmenter import check_model_fits_task

    chosen = _recipe(recipe, normalise)
    overrides: dict[str, Any] = {
        "train": {
            "epochs": epochs,
            "batch_size": batch_size,
            "device": device,
            "schedule": {"learning_rate": learning_rate},
        },
        "predict": {"device": device},
    }
    settings = find_settings(folder, config, overrides, recipe=chosen)
    her2 = exchange_folder(folder, out)
    check_model_fits_task(model or chosen.model, settings.patches.task)
    is_segmentation = settings.patches.task == SEGMENTATION.name
    _check_flags(is_segmentation, of_segmenters=rivals or study is not None or width is not None, folds=folds)
    label = name or (recipe if model is None else f"{recipe}-{model.replace(':', '-')}")
    cut = functools.partial(
        _manifest,
        folder,
        progress=progress,
        cut_before=patches,
        layout=layout.value,
        stain=None if stain is None else stain.value,
        images=tuple(images or ()),
        out=out,
        pixel_size_um=pixel_size_um,
    )
    job = TrainJob(
        manifest=cut(settings, her2 / "patches" / recipe),
        recipe=chosen,
        settings=settings,
        out=her2 / "models" / (f"{label}-control" if shuffle_labels and name is None else label),
        model=model or chosen.model,
        weights=_weights(weights),
        is_control=shuffle_labels,
        resume=not restart,
        command=("qupath-her2", *sys.argv[1:]),
        options={} if width is None else {"width": width},
    )
    if is_segmentation:
        from qupath_her2.cli.segmenter_training import train_segmenters

        sides = tuple(windows.split(",")) if study == "window" else ()
        place = patches or her2 / "patches" / recipe
        return train_segmenters(job, place, cut, progress, with_rivals=rivals, sides=sides)
    from qupath_her2.cli.classifier_training import train_classifiers

    return train_classifiers(job, folds, progress)


def _recipe(name: str, normalise: str | None) -> RecipeOf:
    """Return the recipe, with another stain normalisation where one is asked for."""
    from qupath_her2.errors import SettingsError
    from qupath_her2.patches.tasks import SEGMENTATION
    from qupath_her2.recipes import find_recipe
    from qupath_her2.slides.stains.tissue_sample import normalisation_reference

    found = find_recipe(name)
    if normalise is None:
        return found
    if found.task == SEGMENTATION.name:
        raise SettingsError("--normalise is of networks that classify patches; --recipe her2net has none.")
    if normalise == "none":
        return replace(found, stain=None)
    normalisation_reference(normalise)
    return replace(found, stain=normalise)


def _check_flags(is_segmentation: bool, *, of_segmenters: bool, folds: int | None) -> None:
    """Refuse flags that the recipe has no use for."""
    from qupath_her2.errors import SettingsError

    if of_segmenters and not is_segmentation:
        raise SettingsError("--rivals, --study and --width are of --recipe her2net.")
    if folds is not None and is_segmentation:
        raise SettingsError("--folds is of networks that classify patches; --recipe her2net has none.")


def _manifest(
    folder: Path,
    settings: Settings,
    target: Path,
    *,
    progress: o.ProgressKind,
    cut_before: Path | None,
    **source: Any,
) -> PatchManifest:
    """Return the patches that were named, else those that the recipe cuts from the regions as they are now."""
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
