"""Pull: exports ``images.json`` and ``regions/`` from a QuPath project to its exchange folder, headless."""

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
    """The result of a pull.

    Attributes
    ----------
    project
        The project file.
    her2
        The exchange folder.
    qupath
        The QuPath that was used.
    images, regions, cells
        Numbers of exported objects.
    refused
        {image: reason} of the images that could not be exported.
    ids
        Ids of the images in the exchange folder.
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
    """Export the image list and the annotations of a project, without changing it.

    There is one exception: if a push was killed between saving an image's data and its metadata, the metadata are
    completed, unless the project is open in a QuPath window.

    Parameters
    ----------
    place
        ``project.qpproj`` or its folder.
    out
        The exchange folder; None for ``her2`` next to the project.
    images
        Names or patterns of the images to export; what was pulled before of the others is kept. Empty for all.
    cells
        Also export existing cells, for ``--cells from-regions``.
    pixels
        Write the regions of images that Python cannot open as OME-TIFF.
    heap_mb
        Java heap in MB; None to estimate it from the number of objects.
    listen
        Called with an event for each image: ``name``, ``regions``, ``cells``, ``refused``.

    Returns
    -------
    Pulled
        Counts, the ids of the exported images, and the images that were refused.

    Raises
    ------
    Her2Error
        No project, no QuPath, or QuPath cannot open the project.
    """
    project = open_project_file(place)
    selected = project.select(images)
    her2 = (out or project.path.parent / OUTPUT_NAME).absolute()
    # Fails here if the folder cannot be written, before QuPath is started.
    with output_errors(her2):
        her2.mkdir(parents=True, exist_ok=True)
    qupath = choose_qupath(project.version)
    request = {
        "project": str(project.path),
        "her2": str(her2),
        "only": [entry.id for entry in selected] if images else None,
        "cells": cells,
        "pixels": pixels,
    }
    ids: list[str] = []

    def note(event: dict[str, Any]) -> None:
        ids.append(str(event["image"]))
        if listen is not None:
            listen(event)

    largest = max((entry.n_objects for entry in selected), default=0)
    found = call_qupath("export", request, qupath, heap_mb=heap_mb, n_objects=largest, listen=note)
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
