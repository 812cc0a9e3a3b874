"""``models``: the networks there are, and the checkpoints of a project."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import EXIT_SOME_FAILED, say_error, verb

if TYPE_CHECKING:
    from qupath_her2.models.card import ModelCard
    from qupath_her2.models.registry import ModelSpec

__all__ = ["models"]


@verb
def models(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="A project, to list the checkpoints in its her2/models too."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON object.")] = False,
    out: o.Out = None,
    debug: o.Debug = False,
) -> int:
    """List the networks: classes, µm/px, input, parameters, paper, and the licence of their first weights.

    Any network of timm can be used besides, as timm:NAME. With FOLDER, the trained checkpoints there follow. One
    network comes trained, on drawn fields: run --cells unet.

    [bold]Example[/bold]

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
    """Return the cards of a project by name; what is no card is said and counted."""
    from qupath_her2.errors import ModelError
    from qupath_her2.models.card import read_card
    from qupath_her2.runs.plan import exchange_folder

    found: dict[str, ModelCard] = {}
    n_unreadable = 0
    if folder is None:
        return found, n_unreadable
    place = exchange_folder(folder, out) / "models"
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
    return "whole image" if math.isnan(pixel_size_um) else f"{pixel_size_um:g}"


def _millions(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.1f}"


def _show(specs: list[ModelSpec], checkpoints: dict[str, ModelCard]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    from qupath_her2.models.count_heads import COUNT_KINDS

    console = Console(highlight=False)
    for kind in ("classification", "segmentation"):
        rows = [spec for spec in specs if spec.kind == kind]
        table = Table(
            Column("name", no_wrap=True),
            "classes",
            "µm/px",
            "px",
            "million",
            "trained",
            "paper",
            "first weights",
            title=kind,
            box=None,
        )
        for spec in rows:
            table.add_row(
                spec.name,
                " · ".join(spec.class_names),
                _scale(spec.pixel_size_um),
                str(spec.input.default),
                _millions(spec.n_parameters),
                _millions(spec.n_trainable),
                f"{spec.paper} {spec.doi}".strip(),
                f"{spec.backbone}, {spec.backbone_licence}" if spec.backbone else "none published",
            )
        if rows:
            console.print(table)
    if checkpoints:
        table = Table(
            Column("name", no_wrap=True),
            "model",
            "classes",
            "µm/px",
            "px",
            "recipe",
            title="checkpoints",
            box=None,
        )
        for name, card in checkpoints.items():
            table.add_row(
                name,
                card.model,
                " · ".join(card.class_names),
                _scale(card.pixel_size_um),
                str(card.patch_size_px),
                card.recipe,
            )
        console.print(table)
    console.print(f"From patch counts to a slide's class: {', '.join(COUNT_KINDS)}.")
    console.print(f"{len(specs)} models, {len(checkpoints)} checkpoints. Research use only.")
