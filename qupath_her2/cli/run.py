"""``run``: everything from pixels to the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qupath_her2.batch.plan import RunOptions
    from qupath_her2.config import Settings

__all__ = ["run"]


@verb
def run(
    folder: o.Folder,
    images: o.Images = None,
    out: o.Out = None,
    pixel_size_um: o.PixelSize = None,
    whole_tissue: o.WholeTissue = False,
    cells: o.Cells = o.CellSource.detect,
    method: o.Method = o.MethodName.cells,
    keep_controls: o.KeepControls = False,
    ranges: o.Ranges = None,
    guideline: o.Guideline = None,
    site: o.Site = None,
    specimen: o.Specimen = None,
    geojson: o.GeoJson = False,
    force: o.Force = False,
    no_qupath: Annotated[
        bool,
        typer.Option(
            "--no-qupath", help="Of a QuPath project: score what was exported; neither pull nor push."
        ),
    ] = False,
    heap: o.Heap = None,
    workers: o.Workers = 1,
    config: o.Config = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Score all images of a folder or a QuPath project, and write the report.

    Tumour regions come from case.geojson beside case.svs, or from the project; the results of a project go back
    into it. Results lie in FOLDER/her2: summary.csv, report.html and, for each image, its cells, score and
    overlay. A second run does only what changed.

    [bold]Examples[/bold]

    qupath-her2 run study --pixel-size-um 0.25

    qupath-her2 run study/project.qpproj

    qupath-her2 run study --images 'case0*.svs' --workers 4

    qupath-her2 run cores --whole-tissue --out results

    qupath-her2 run biopsies --site gastric --specimen biopsy
    """
    from qupath_her2.batch.plan import find_settings
    from qupath_her2.cli.jobs import run_folder, run_options

    chosen = run_options(
        images=images,
        out=out,
        pixel_size_um=pixel_size_um,
        whole_tissue=whole_tissue,
        cells=cells,
        method=method,
        keep_controls=keep_controls,
        ranges=ranges,
        site=site,
        specimen=specimen,
        geojson=geojson,
        force=force,
        debug=debug,
    )
    push = None
    if not no_qupath:
        push = _pull(folder, chosen, find_settings(folder, config), heap, progress)
    return run_folder(folder, chosen, config, guideline, workers=workers, progress=progress, push=push)


def _pull(
    folder: Path, chosen: RunOptions, settings: Settings, heap: int | None, progress: o.ProgressKind
) -> Callable[[], int] | None:
    """Pull a QuPath project, and return what pushes its results; None where there is nothing to pull from."""
    from qupath_her2.cli.bridge import pull_project, push_project
    from qupath_her2.project.folder import project_file
    from qupath_her2.project.qupaths import find_qupaths

    project = project_file(folder)
    if project is None:
        return None
    # A folder that was pulled elsewhere, or holds a project beside plain images, is scored without a QuPath.
    if project != folder and not find_qupaths():
        typer.echo("No QuPath on this machine: scored as it lies, without pull and push.", err=True)
        return None
    pull_project(
        project,
        out=chosen.out,
        images=chosen.images,
        cells=chosen.cells == "from-regions",
        pixels=False,
        heap_mb=heap,
        names=settings.regions,
        progress=progress,
    )
    return lambda: push_project(
        project,
        out=chosen.out,
        images=chosen.images,
        dry_run=False,
        only_new=not chosen.force,
        heap_mb=heap,
        progress=progress,
    )
