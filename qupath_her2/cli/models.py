"""``models``: the networks that can be trained, and the checkpoints of a project."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import EXIT_SOME_FAILED, say_error, verb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qupath_her2.models.card import ModelCard
    from qupath_her2.models.registry import ModelSpec

__all__ = ["models"]


@verb
def models(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]", help="A project or folder, to list the checkpoints in its her2/models too."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
    out: o.Out = None,
    debug: o.Debug = False,
) -> int:
    """List the networks that can be trained: scale, input size, parameters, classes, paper, licence of first weights.

    Besides these, any network of timm can be trained, as timm:NAME. With FOLDER, the checkpoints trained there
    follow. The U-Net comes trained, for 0.25 and for 0.5 µm/px, on drawn fields only: use it with qupath-her2 run
    FOLDER --cells unet.

    [bold]Examples[/bold]

    qupath-her2 models

    qupath-her2 models study
    """
    from qupath_her2.models.count_heads import COUNT_KINDS
    from qupath_her2.models.registry import MODELS
    from qupath_her2.models.shipped import SHIPPED

    found, n_unreadable = _checkpoints(folder, out)
    if as_json:
        content = {
            "models": [_spec_row(spec) for spec in MODELS.values()],
            "patch_count_heads": list(COUNT_KINDS),
            "shipped": list(SHIPPED),
            "checkpoints": [{"name": name, **_card_row(card)} for name, card in found.items()],
        }
        typer.echo(json.dumps(content, indent=2, allow_nan=False))
    else:
        _show(list(MODELS.values()), found)
    return EXIT_SOME_FAILED if n_unreadable else 0


def _checkpoints(folder: Path | None, out: Path | None) -> tuple[dict[str, ModelCard], int]:
    """Return the model cards of a project by name, and the number of unreadable ones, whose errors are printed."""
    from qupath_her2.errors import ModelError
    from qupath_her2.models.card import read_card
    from qupath_her2.runs.plan import exchange_folder

    found: dict[str, ModelCard] = {}
    n_unreadable = 0
    if folder is None:
        return found, n_unreadable
    place = exchange_folder(folder, out) / "models"
    # An unreadable checkpoint, e.g. of a newer version, does not hide the others.
    for weights in sorted(place.rglob("*.safetensors")):
        try:
            found[weights.relative_to(place).with_suffix("").as_posix()] = read_card(weights)
        except ModelError as error:
            say_error(str(error))
            n_unreadable += 1
    return found, n_unreadable


def _spec_row(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "kind": spec.kind,
        "task": spec.task,
        "classes": list(spec.class_names),
        "pixel_size_um": None if math.isnan(spec.pixel_size_um) else spec.pixel_size_um,
        "input_px": spec.input.default,
        "parameters": spec.n_parameters,
        "trainable": spec.n_trainable,
        "backbone": spec.backbone,
        "backbone_licence": spec.backbone_licence or None,
        "options": dict(spec.options),
        "paper": spec.paper,
        "doi": spec.doi or None,
        "note": spec.note,
    }


def _card_row(card: ModelCard) -> dict[str, Any]:
    return {
        "model": card.model,
        "task": card.task,
        "classes": list(card.class_names),
        "pixel_size_um": None if math.isnan(card.pixel_size_um) else card.pixel_size_um,
        "input_px": card.patch_size_px,
        "recipe": card.recipe,
        "metrics": dict(card.metrics),
        "weights_sha256": card.weights_sha256,
    }


def _scale(pixel_size_um: float) -> str:
    # Networks that take a whole image, scaled down, have no scale of their own.
    return "whole image" if math.isnan(pixel_size_um) else f"{pixel_size_um:g}"


def _millions(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.1f}"


def _show(specs: list[ModelSpec], checkpoints: dict[str, ModelCard]) -> None:
    from qupath_her2.cli.tables import say_table
    from qupath_her2.models.count_heads import COUNT_KINDS

    for kind in ("classification", "segmentation"):
        known = [spec for spec in specs if spec.kind == kind]
        rows = [
            (
                spec.name,
                _scale(spec.pixel_size_um),
                str(spec.input.default),
                _millions(spec.n_parameters),
                _millions(spec.n_trainable),
            )
            for spec in known
        ]
        details = [(_classes(spec.class_names), _paper(spec), _first_weights(spec)) for spec in known]
        heading = f"{kind.capitalize()} networks; parameters in millions"
        say_table(heading, ("Name", "µm/px", "Input px", "Parameters", "Trained"), rows, details=details)
        typer.echo()
    if checkpoints:
        _show_checkpoints(checkpoints)
    typer.echo(f"From patch counts to the class of a slide: {', '.join(COUNT_KINDS)}.")
    typer.echo(f"{len(specs)} models, {len(checkpoints)} checkpoints. Research use only.")


def _show_checkpoints(checkpoints: dict[str, ModelCard]) -> None:
    from qupath_her2.cli.tables import say_table

    rows = [
        (name, _scale(card.pixel_size_um), str(card.patch_size_px), card.model, card.recipe)
        for name, card in checkpoints.items()
    ]
    details = [(_classes(card.class_names),) for card in checkpoints.values()]
    header = ("Name", "µm/px", "Input px", "Model", "Recipe")
    say_table("Checkpoints", header, rows, left=(3, 4), details=details)
    typer.echo()


def _classes(names: Sequence[str]) -> str:
    return f"classes: {' · '.join(names)}"


def _paper(spec: ModelSpec) -> str:
    return f"paper: {spec.paper}" + (f", doi {spec.doi}" if spec.doi else "")


def _first_weights(spec: ModelSpec) -> str:
    licence = f"{spec.backbone}, {spec.backbone_licence}" if spec.backbone else "none published"
    return f"first weights: {licence}"
