"""Networks that a job may use: the checkpoints in the folders that the service was given."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter

from qupath_her2.errors import ModelError
from qupath_her2.models.card import ModelCard
from qupath_her2.runs.methods.patches import patch_card
from qupath_her2.server.problems import Problem

__all__ = ["Network", "checkpoint_of", "networks_router"]

_logger = logging.getLogger("qupath_her2.server")


@dataclass(frozen=True, slots=True)
class Network:
    """A network that classifies slides.

    Attributes
    ----------
    id
        What options name as ``checkpoint``: name of the folder of networks and the path in it, without ending.
    name
        The path in the folder alone.
    task
        What it was trained to tell, such as ``her2-3``, ``er`` or ``pr``.
    classes
        Its answers.
    pixel_size_um
        Scale that it reads, µm per pixel; None where it reads whole slides scaled down.
    """

    id: str
    name: str
    task: str
    classes: tuple[str, ...]
    pixel_size_um: float | None


def _checkpoints(folders: Sequence[Path]) -> Iterator[tuple[str, str, Path, ModelCard]]:
    """Yield id, name, path without ending, and card of each network that classifies slides."""
    for folder in folders:
        for weights in sorted(folder.rglob("*.safetensors")):
            name = weights.relative_to(folder).with_suffix("").as_posix()
            try:
                card = patch_card(weights)
            except ModelError as error:
                # A segmenter, or one of a newer version, hides none of the others.
                _logger.info("not offered: %s", error)
                continue
            yield f"{folder.resolve().name}/{name}", name, weights.with_suffix(""), card


def checkpoint_of(folders: Sequence[Path], network: str) -> Path:
    """Return the checkpoint of a network, path without ending; Problem 422 where the service offers no such network."""
    # Looked up among what is offered, never joined to a folder: an id is no path.
    known = {identity: path for identity, _, path, _ in _checkpoints(folders)}
    if network not in known:
        offered = ", ".join(known) or "none; its service was started without networks"
        raise Problem(422, f"There is no network '{network}'.", f"Offered are: {offered}.")
    return known[network]


def networks_router(folders: Sequence[Path]) -> APIRouter:
    """Return the route that lists the networks of these folders."""
    router = APIRouter(prefix="/api/v1", tags=["networks"])

    @router.get("/networks")
    def networks() -> list[Network]:
        """List the networks that options may name as ``checkpoint``."""
        return [
            Network(
                identity,
                name,
                card.task,
                card.class_names,
                None if math.isnan(card.pixel_size_um) else card.pixel_size_um,
            )
            for identity, name, _, card in _checkpoints(folders)
        ]

    return router
