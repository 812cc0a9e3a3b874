"""``push``: imports results into the QuPath project they belong to."""

from __future__ import annotations

from typing import Annotated

import typer

from qupath_her2.cli import options as o
from qupath_her2.cli.verb import verb

__all__ = ["push"]


@verb
def push(
    project: o.Project,
    images: o.Images = None,
    out: o.Out = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report what would change without changing anything.")
    ] = False,
    replace_lost: Annotated[
        bool,
        typer.Option(
            "--replace-lost",
            help="Also replace objects of earlier results whose files are gone from her2/, e.g. in a project that was "
            "copied without it. Edits in them are lost.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write results again that the project already has.")
    ] = False,
    heap: o.Heap = None,
    progress: o.Progress = o.ProgressKind.auto,
    debug: o.Debug = False,
) -> int:
    """Import cells, classes, region measurements and scores into a QuPath project.

    One QuPath is started for all images, and each image is updated completely or not at all: interrupted or killed,
    the same command goes on with those that are left. Results of qupath-her2 batch are imported like those of run.
    Your own objects are not changed, cells of earlier runs are replaced, and cells that you edited are kept. Close the
    project in QuPath first. Inside QuPath, import_results.groovy does the same.

    [bold]Examples[/bold]

    qupath-her2 push study/project.qpproj --dry-run

    qupath-her2 push study
    """
    from qupath_her2.cli.pull_push import push_project

    return push_project(
        project,
        out=out,
        images=images or (),
        dry_run=dry_run,
        # Objects to be replaced may lie in any image, whichever result it holds.
        only_new=not (force or replace_lost),
        replace_lost=replace_lost,
        heap_mb=heap,
        progress=progress,
    )
