"""From a QuPath project into its exchange folder: ``images.json`` and ``regions/``, without a window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qupath_her2.project.exchange.writing import output_errors
from qupath_her2.project.folder import OUTPUT_NAME
from qupath_her2.project.qupath.installations import QuPath, choose_qupath
from qupath_her2.project.qupath.jvm import call_qupath
from qupath_her2.project.qupath.qpproj import open_project_file

__all__ = ["Pulled", "pull"]


@dataclass(frozen=True, slots=True)
class Pulled:
    """What was pulled.

    Attributes
    ----------
    project
        The project file.
    her2
        The exchange folder.
    qupath
        The QuPath that did it.
    images, regions, cells
        counts.
    refused
        {image: sentence} of the images that could not be exported.
    ids
        The images' names in the exchange folder.
    """

    project: Path
    her2: Path
    qupath: QuPath
    images: int
    regions: int
    cells: int
    refused: dict[str, str] = field(default_factory=dict)
    ids: tuple[str, ...] = ()


def pull(
    place: Path,
    *,
    out: Path | None = None,
    images: Sequence[str] = (),
    cells: bool = False,
    pixels: bool = False,
    heap_mb: int | None = None,
    listen: Callable[[dict[str, Any]], None] | None = None,
) -> Pulled:
    """Export a project's images and people's regions; the project itself is not changed.

    But for what a push that was killed left half done, which is completed where no window has the project open.

    Parameters
    ----------
    place
        ``project.qpproj`` or its folder.
    out
        The exchange folder; ``her2`` beside the project where None.
    images
        Names or patterns; the others keep what was pulled before. Empty takes all.
    cells
        Also export the cells that are there, for ``--cells from-regions``.
    pixels
        Write images that Python cannot open as OME-TIFF of their regions.
    heap_mb
        Java heap; estimated from the number of objects where None.
    listen
        Called with an event for each image: ``name``, ``regions``, ``cells``, ``refused``.

    Raises
    ------
    Her2Error
        No project, no QuPath, or QuPath cannot open it.
    """
    project = open_project_file(place)
    chosen = project.chosen(images)
    her2 = (out or project.path.parent / OUTPUT_NAME).absolute()
    with output_errors(her2):
        her2.mkdir(parents=True, exist_ok=True)
    qupath = choose_qupath(project.version)
    request = {
        "project": str(project.path),
        "her2": str(her2),
        "only": [entry.id for entry in chosen] if images else None,
        "cells": cells,
        "pixels": pixels,
    }
    ids: list[str] = []

    def note(event: dict[str, Any]) -> None:
        ids.append(str(event["image"]))
        if listen is not None:
            listen(event)

    most = max((entry.n_objects for entry in chosen), default=0)
    found = call_qupath("export", request, qupath, heap_mb=heap_mb, n_objects=most, listen=note)
    return Pulled(
        project.path,
        her2,
        qupath,
        found["images"],
        found["regions"],
        found["cells"],
        found["refused"],
        tuple(ids),
    )
