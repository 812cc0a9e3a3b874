"""``predict``: a trained network classifies the patches of all images, shown as tiles in QuPath."""

from __future__ import annotations

import inspect
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.patch_options import Task
from qupath_her2.cli.training_options import Features
from qupath_her2.cli.verb import verb

if TYPE_CHECKING:
    from qupath_her2.recipes.recipe import Recipe

__all__ = ["predict"]


class RuleName(str, Enum):
    """Rule that combines patch predictions into one class."""

    mean = "mean"
    majority = "majority"
    mlp = "mlp"
    random_forest = "random-forest"
    svm = "svm"


Checkpoint = Annotated[
    Path,
    typer.Option(
        "--model",
        metavar="CKPT",
        help="A trained checkpoint: path of NAME.safetensors and NAME.json. 'qupath-her2 models FOLDER' lists them.",
    ),
]
Rule = Annotated[
    RuleName | None,
    typer.Option(
        "--rule",
        help="How patches decide the class of an image: mean probability, majority vote, or a classifier trained on "
        "patch counts (recipe patch-count). Default: the recipe's.",
    ),
]
Cam = Annotated[
    bool | None,
    typer.Option(
        "--cam/--no-cam",
        help="Also map which parts of each patch led to the predicted class (Grad-CAM), for the report and QuPath. "
        "Takes one more forward and backward pass per patch.",
    ),
]


@verb
def predict(
    folder: o.Folder,
    model: Checkpoint,
    images: o.Images = None,
    out: o.Out = None,
    pixel_size_um: o.PixelSize = None,
    series: o.Series = None,
    plane: o.Plane = None,
    whole_tissue: o.WholeTissue = False,
    rule: Rule = None,
    task: Task = None,
    cam: Cam = None,
    features: Features = None,
    device: o.Device = None,
    batch_size: o.BatchSize = None,
    no_qupath: o.NoQuPath = False,
    force: o.Force = False,
    heap: o.Heap = None,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Classify the patches of all images with a trained network: tiles, heat maps, a class per region and slide.

    Results go to FOLDER/her2/predictions, and into a QuPath project as tiles with probabilities. They never replace
    a HER2 score. In QuPath, Extensions > HER2 > Network > Show heat map overlays the heat map and Grad-CAM;
    heatmap.ome.tif of each run opens as an image. Of a network on features, tiles hold the attention (its rank in the
    image), the most attended ones have a class, and the heat map shows it. A second run only processes what changed.

    [bold]Example[/bold]

    qupath-her2 predict study/project.qpproj --model study/her2/models/se-resnet50/best
    """
    from qupath_her2.cli.bag_prediction import predict_bags, refuse_features
    from qupath_her2.cli.pull_push import pull_and_push
    from qupath_her2.cli.scoring import run_folder, run_options
    from qupath_her2.models.bag_checkpoint import is_bag_card
    from qupath_her2.models.card import read_card
    from qupath_her2.project.exchange.images import PREDICTIONS
    from qupath_her2.recipes import RECIPES
    from qupath_her2.runs.methods.patches import PatchesMethod
    from qupath_her2.runs.plan import exchange_folder, find_settings

    # The card names the recipe, so that patches are cut and read as in training without a flag.
    card = read_card(model)
    if is_bag_card(card):
        return predict_bags(**{name: value for name, value in locals().items() if name in _FLAGS})
    refuse_features(features, model)
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
        series=series,
        plane=plane,
        # A network that takes whole images needs no tumour region.
        whole_tissue=whole_tissue or settings.patches.whole_image,
        method=PatchesMethod(model.absolute(), _head(model.absolute(), recipe, rule, task, card.task)),
        force=force,
        debug=debug,
    )
    push = None if no_qupath else pull_and_push(folder, chosen, settings, heap, progress)
    return run_folder(folder, chosen, settings, workers=1, progress=progress, push=push)


#: Flags of `predict`, as its function has them.
_FLAGS = frozenset(inspect.signature(predict).parameters)


def _head(
    checkpoint: Path, recipe: Recipe | None, rule: RuleName | None, task: str | None = None, own: str = ""
) -> Path | None:
    """Return the file of the patch-count classifier that ``--rule`` or the recipe asks for; None: patches vote.

    `task` is the task of the classifier, None or `own` that of the network.
    """
    from qupath_her2.errors import ModelError
    from qupath_her2.training.count_heads import head_path

    if rule in (RuleName.mean, RuleName.majority) and task in (None, own):
        return None
    kind = rule.value if rule is not None else next(iter(recipe.heads), None) if recipe is not None else None
    other = task is not None and task != own
    if kind is None or (other and rule in (RuleName.mean, RuleName.majority)):
        if other:
            raise ModelError(
                f"Task '{task}' needs a classifier of patch counts, but these patches vote, and know the classes of "
                "their own task alone."
            )
        return None
    path = head_path(checkpoint, f"{kind}-{task}" if other else kind)
    if path.is_file():
        return path
    if rule is None and not other:
        typer.echo(f"There is no classifier '{path}': patches vote by majority instead.", err=True)
        return None
    raise ModelError(
        f"'{path}' does not exist. Run qupath-her2 train FOLDER --recipe patch-count, or pass --rule majority."
    )
