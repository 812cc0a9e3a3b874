"""``predict`` with a network on features: embed what is missing, classify slides, write attention as tiles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from qupath_her2.cli.options import ProgressKind
    from qupath_her2.config import Settings
    from qupath_her2.models.card import ModelCard

__all__ = ["predict_bags", "refuse_features"]


def refuse_features(features: Path | None, model: Path) -> None:
    """Raise ModelError for ``--features`` with a network that reads pixels."""
    from qupath_her2.errors import ModelError

    if features is not None:
        raise ModelError(f"--features needs a network on features, and '{model}' reads pixels. Leave it out.")


def predict_bags(*, folder: Path, model: Path, progress: ProgressKind, **flags: Any) -> int:
    """Classify the images of a folder by a network on bags.

    Parameters
    ----------
    folder
        Project or folder of images.
    model
        Checkpoint of the network.
    progress
        How progress is shown.
    **flags
        The other flags of ``predict`` by name.

    Returns
    -------
    int
        Exit code.
    """
    from qupath_her2.cli.pull_push import pull_and_push
    from qupath_her2.cli.scoring import run_folder, run_options
    from qupath_her2.models.card import read_card
    from qupath_her2.project.exchange.images import PREDICTIONS
    from qupath_her2.runs.methods.bags import BagsMethod
    from qupath_her2.runs.plan import exchange_folder, find_settings
    from qupath_her2.training.bags.embed_images import embedding_settings, feature_folder

    overrides = {"predict": {"device": flags["device"], "batch_size": flags["batch_size"]}}
    card = read_card(model)
    _refuse(card, flags)
    settings = embedding_settings(find_settings(folder, flags["config"], overrides), card)
    her2 = exchange_folder(folder, flags["out"])
    place = (flags["features"] or feature_folder(her2, settings)).absolute()
    chosen = run_options(
        images=flags["images"],
        out=her2 / PREDICTIONS,
        pixel_size_um=flags["pixel_size_um"],
        series=flags["series"],
        plane=flags["plane"],
        # A bag is all tissue of a slide, whatever is drawn.
        whole_tissue=True,
        method=BagsMethod(model.absolute(), place),
        force=flags["force"],
        debug=flags["debug"],
    )
    push = None
    if not flags["no_qupath"]:
        push = pull_and_push(folder, chosen, settings, flags["heap"], progress)
    if flags["features"] is None:
        _embed(folder, settings, place, flags)
    return run_folder(folder, chosen, settings, workers=1, progress=progress, push=push)


def _refuse(card: ModelCard, flags: dict[str, Any]) -> None:
    """Refuse wishes that a network on features cannot fulfil."""
    from qupath_her2.errors import SettingsError

    if flags["rule"] is not None or flags["task"] not in (None, card.task):
        raise SettingsError(
            f"Network '{card.model}' classifies whole slides: patches do not vote, and it knows no task but its own, "
            f"'{card.task}'."
        )
    if flags["cam"]:
        raise SettingsError(
            f"Grad-CAM is for networks that read pixels. Network '{card.model}' reads features, and shows its "
            "attention without being asked."
        )


def _embed(folder: Path, settings: Settings, place: Path, flags: dict[str, Any]) -> None:
    from qupath_her2.patches.datasets.sources import project_source
    from qupath_her2.patches.tasks import TASKS
    from qupath_her2.runs.plan import exchange_folder, select_images
    from qupath_her2.training.bags.embed_images import embed_missing

    her2 = exchange_folder(folder, flags["out"])
    refs = select_images(folder, tuple(flags["images"] or ()), flags["out"], choice=settings.images)
    source = project_source(
        folder, task=TASKS["her2-4"], refs=refs, her2=her2, pixel_size_um=flags["pixel_size_um"]
    )
    for text in embed_missing(source.images, settings, place):
        typer.echo(text, err=True)
