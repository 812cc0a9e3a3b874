"""``pull``: exports the images and annotations of a QuPath project for scoring."""

from __future__ import annotations

from typing import Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

__all__ = ["pull"]


@verb
def pull(
    project: o.Project,
    images: o.Images = None,
    out: o.Out = None,
    cells: Annotated[
        bool,
        typer.Option("--cells", help="Also export existing cells, for qupath-her2 run --cells from-regions."),
    ] = False,
    pixels: Annotated[
        bool,
        typer.Option(
            "--pixels", help="Write images that only QuPath can open as OME-TIFF files of their regions."
        ),
    ] = False,
    heap: o.Heap = None,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Export the images and annotations of a QuPath project to PROJECT/her2. The project itself is not changed.

    Writes images.json (path, size, pixel size, stains, image type and metadata of each image) and regions/. The
    folder can then be scored on a machine without QuPath. Inside QuPath, export_regions.groovy writes the same files.

    [bold]Examples[/bold]

    qupath-her2 pull study/project.qpproj

    qupath-her2 pull study --cells --images 'case0*'
    """
    from qupath_her2.cli.pull_push import pull_project
    from qupath_her2.runs.plan import find_settings

    pull_project(
        project,
        out=out,
        images=images or (),
        cells=cells,
        pixels=pixels,
        heap_mb=heap,
        names=find_settings(project, config).regions,
        progress=progress,
    )
    return 0
