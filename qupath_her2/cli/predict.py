"""``predict``: a trained network over the images of a project, its patches as tiles in QuPath."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

if TYPE_CHECKING:
    from qupath_her2.recipes.recipe import Recipe

__all__ = ["predict"]


class RuleName(str, Enum):
    """How patches decide."""

    mean = "mean"
    majority = "majority"
    mlp = "mlp"
    random_forest = "random-forest"
    svm = "svm"


Checkpoint = Annotated[
    Path,
    typer.Option(
        "--model", metavar="CKPT", help="A checkpoint, NAME.safetensors with NAME.json; models lists them."
    ),
]
Rule = Annotated[
    RuleName | None,
    typer.Option(
        "--rule",
        help="How patches decide: their mean, their majority, or a head over their counts (patch-count); "
        "without it as the recipe says.",
    ),
]
Cam = Annotated[
    bool | None,
    typer.Option(
        "--cam/--no-cam",
        help="Also show what in each patch speaks for the image's class (Grad-CAM), in the report and over the image "
        "in QuPath; each patch goes through the network once more and back.",
    ),
]


@verb
def predict(
    folder: o.Folder,
    model: Checkpoint,
    images: o.Images = None,
    out: o.Out = None,
    pixel_size_um: o.PixelSize = None,
    whole_tissue: o.WholeTissue = False,
    rule: Rule = None,
    cam: Cam = None,
    device: o.Device = None,
    batch_size: o.BatchSize = None,
    no_qupath: o.NoQuPath = False,
    force: o.Force = False,
    heap: o.Heap = None,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Let a trained network classify the patches of all images: tiles, heat map, a class for region and slide.

    Results lie in FOLDER/her2/predictions and go into a QuPath project as tiles with their probabilities; HER2 scores
    that are there already stay as they are. Extensions > HER2 > Show heat map lays heat map and Grad-CAM over the
    image; heatmap.ome.tif of each run opens in QuPath as an image. A second run does only what changed.

    [bold]Example[/bold]

    qupath-her2 predict study/project.qpproj --model study/her2/models/se-resnet50/best
    """
    from qupath_her2.cli.pull_push import pull_and_push
    from qupath_her2.cli.scoring import run_folder, run_options
    from qupath_her2.models.card import read_card
    from qupath_her2.project.exchange.images import PREDICTIONS
    from qupath_her2.recipes import RECIPES
    from qupath_her2.runs.plan import exchange_folder, find_settings

    card = read_card(model)
    recipe = RECIPES.get(card.recipe)
    votes = rule.value if rule in (RuleName.mean, RuleName.majority) else None
    overrides = {
        "predict": {"device": device, "batch_size": batch_size},
        "votes": {"rule": votes},
        "cam": {"is_on": cam},
    }
    settings = find_settings(folder, config, overrides, recipe=recipe)
    chosen = run_options(
        images=images,
        out=exchange_folder(folder, out) / PREDICTIONS,
        pixel_size_um=pixel_size_um,
        # A network that takes whole images needs nobody to choose the tumour.
        whole_tissue=whole_tissue or settings.patches.whole_image,
        method="network",
        checkpoint=model.absolute(),
        head=_head(model.absolute(), recipe, rule),
        force=force,
        debug=debug,
    )
    push = None if no_qupath else pull_and_push(folder, chosen, settings, heap, progress)
    return run_folder(folder, chosen, settings, workers=1, progress=progress, push=push)


def _head(checkpoint: Path, recipe: Recipe | None, rule: RuleName | None) -> Path | None:
    """Return the file of the head that was asked for, or that the recipe names first; None lets patches vote."""
    from qupath_her2.errors import ModelError
    from qupath_her2.training.count_heads import head_path

    if rule in (RuleName.mean, RuleName.majority):
        return None
    kind = rule.value if rule is not None else next(iter(recipe.heads), None) if recipe is not None else None
    if kind is None:
        return None
    path = head_path(checkpoint, kind)
    if path.is_file():
        return path
    if rule is None:
        typer.echo(f"No head '{path}': the patches vote by majority.", err=True)
        return None
    raise ModelError(f"'{path}' is not there. Train the recipe patch-count, or pass --rule majority.")
