"""Pull and push as the verbs ``pull``, ``push``, ``run`` and ``predict`` run them, with their terminal output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from qupath_her2.cli.options import ProgressKind
from qupath_her2.cli.progress import say_json
from qupath_her2.cli.push_progress import push_view
from qupath_her2.cli.verb import EXIT_SOME_FAILED, say_error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from qupath_her2.config import Settings
    from qupath_her2.project.class_names import ClassNames
    from qupath_her2.project.qupath.pull import Pulled
    from qupath_her2.project.qupath.push import Pushed
    from qupath_her2.runs.options import RunOptions

__all__ = ["pull_and_push", "pull_project", "push_project"]


def pull_and_push(
    folder: Path, chosen: RunOptions, settings: Settings, heap_mb: int | None, progress: ProgressKind
) -> Callable[[], int] | None:
    """Pull a QuPath project before it is scored, and return the function that pushes the results afterwards.

    Parameters
    ----------
    folder
        What the user named: a project file, its folder, or a folder of images.
    chosen
        Options of the run: which images, where results go, whether existing cells are needed.
    settings
        Settings of the run; their class names say which annotations are tumour.
    heap_mb
        Memory of QuPath's JVM in MB; None estimates it.
    progress
        How progress is shown.

    Returns
    -------
    callable or None
        Pushes the results and returns the exit code; None if there is no project, or no QuPath to open it with.
    """
    from qupath_her2.project.exchange.images import exchange_root
    from qupath_her2.project.folder import project_file
    from qupath_her2.project.qupath.installations import find_qupaths

    project = project_file(folder)
    if project is None:
        return None
    # A folder whose project was pulled elsewhere can be scored without QuPath. A project file named explicitly cannot
    # be skipped silently: pulling it then fails with the reason.
    if project != folder and not find_qupaths():
        typer.echo("No QuPath on this machine: scoring the last export, without pull and push.", err=True)
        return None
    pull_project(
        project,
        out=None if chosen.out is None else exchange_root(chosen.out),
        images=chosen.images,
        cells=chosen.method.uses_existing_cells,
        pixels=False,
        heap_mb=heap_mb,
        names=settings.regions,
        progress=progress,
    )
    # Pushing an image whose current run is in the project already would start QuPath for nothing.
    return lambda: push_project(
        project,
        out=chosen.out,
        images=chosen.images,
        dry_run=False,
        only_new=not chosen.force,
        is_step=True,
        heap_mb=heap_mb,
        progress=progress,
    )


def pull_project(
    place: Path,
    *,
    out: Path | None,
    images: Sequence[str],
    cells: bool,
    pixels: bool,
    heap_mb: int | None,
    names: ClassNames,
    progress: ProgressKind,
) -> None:
    """Pull a project, and print what was exported.

    Parameters
    ----------
    place
        A ``project.qpproj``, or the folder that contains it.
    out
        Exchange folder; None takes ``her2`` beside the project.
    images
        Names or patterns; empty takes all.
    cells
        Also export existing cells.
    pixels
        Also export the pixels of images that only QuPath can open.
    heap_mb
        Memory of QuPath's JVM in MB; None estimates it.
    names
        Class names that mean tumour, to count images without any.
    progress
        How progress is shown.
    """
    from qupath_her2.project.qupath.pull import pull

    found = pull(
        place,
        out=out,
        images=images,
        cells=cells,
        pixels=pixels,
        heap_mb=heap_mb,
        listen=_pull_view(progress),
    )
    no_tumour = _without_tumour(found, names)
    parts = [_count(found.images, "image"), _count(found.regions, "region")]
    parts += [f"{found.cells:,} cells"] if cells else []
    parts += [f"{no_tumour} without a tumour region"] if no_tumour else []
    parts += [f"{len(found.refused)} refused"] if found.refused else []
    if progress is ProgressKind.json:
        say_json(
            event="pulled",
            images=found.images,
            regions=found.regions,
            cells=found.cells,
            without_tumour=no_tumour,
            refused=found.refused,
            qupath=found.qupath.version,
        )
        return
    typer.echo(f"pull    {', '.join(parts)}  (QuPath {found.qupath.version})")
    for image, reason in found.refused.items():
        typer.echo(f"        {image}: {reason}", err=True)


def push_project(
    place: Path,
    *,
    out: Path | None,
    images: Sequence[str],
    dry_run: bool,
    only_new: bool,
    is_step: bool = False,
    replace_lost: bool = False,
    heap_mb: int | None,
    progress: ProgressKind,
) -> int:
    """Push results into a project, and print what changed.

    Parameters
    ----------
    place
        A ``project.qpproj``, or the folder that contains it.
    out
        Exchange folder; None takes ``her2`` beside the project.
    images
        Names or patterns; empty takes all.
    dry_run
        Report the changes without making them.
    only_new
        Skip images whose current result is already in the project.
    is_step
        The last step of another verb, which says nothing where there is nothing to push.
    replace_lost
        Also replace objects of ours whose run is gone.
    heap_mb
        Memory of QuPath's JVM in MB; None estimates it.
    progress
        How progress is shown.

    Returns
    -------
    int
        Exit code: 0, or 3 if some images were refused.
    """
    from qupath_her2.project.qupath.push import push

    with push_view(progress) as view:
        found = push(
            place,
            out=out,
            images=images,
            dry_run=dry_run,
            only_new=only_new,
            replace_lost=replace_lost,
            heap_mb=heap_mb,
            listen=view.show,
        )
    code = EXIT_SOME_FAILED if found.refused else 0
    if progress is ProgressKind.json:
        say_json(
            event="pushed",
            exit=code,
            dry_run=dry_run,
            images=list(found.images),
            up_to_date=found.n_current,
        )
        return code
    if found.images:
        typer.echo(f"push    {_pushed_line(found, dry_run)}")
    elif not is_step:
        n = found.n_current
        typer.echo(f"push    {n}/{n} up to date; nothing to do (to write them again: push --force)")
    for image in found.refused:
        say_error(f"{image['name']}: {image['reason']}")
    return code


def _pushed_line(found: Pushed, dry_run: bool) -> str:
    changed = [image for image in found.images if image["state"] != "refused"]
    would = "would go " if dry_run else ""
    # Cells of the same run that are in the project already are not written again, but they are its result too.
    n_cells = found.total("added") + found.total("unchanged")
    n_proposed = found.total("proposed")
    what = _count(n_proposed, "proposed region") if n_proposed and not n_cells else f"{n_cells:,} cells"
    parts = [f"{what} {would}into {_count(len(changed), 'image')}"]
    for key, words in (
        ("patches", "patches"),
        ("classified", "of your own cells classified"),
        ("edited", "cells kept as edited by a person"),
        ("suppressed", "cells left out where a person had edited or deleted one"),
        ("removed", "cells of earlier runs removed"),
        (
            "lost",
            "objects of earlier results kept, since their files are gone (push --replace-lost replaces them)",
        ),
    ):
        parts += [f"{found.total(key):,} {words}"] if found.total(key) else []
    parts += [f"{_count(found.n_current, 'image')} up to date"] if found.n_current else []
    parts += [f"{_count(len(found.refused), 'image')} not changed"] if found.refused else []
    return f"{', '.join(parts)}, none of your own objects changed"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _pull_view(progress: ProgressKind) -> Callable[[dict[str, Any]], None] | None:
    """Return a function that shows an event as a JSON line or as one line that overwrites itself; None shows none."""
    if progress is ProgressKind.json:
        return lambda event: say_json(**{**event, "event": "pull image"})
    if progress is ProgressKind.off or not sys.stderr.isatty():
        return None
    # \r returns to the start of the line, \x1b[K clears what a longer name left there.
    return lambda event: typer.echo(f"\rpull    {event.get('name', '')!s:.60}\x1b[K\r", err=True, nl=False)


def _without_tumour(found: Pulled, names: ClassNames) -> int:
    from qupath_her2.project.folder import pulled_images
    from qupath_her2.project.geojson.regions import read_regions

    missing = 0
    for image in pulled_images(found.her2) or ():
        is_known = image.id in found.ids and image.refusal is None
        if is_known and image.regions_path is not None and image.width and image.height:
            regions = read_regions(
                image.regions_path, image_width=image.width, image_height=image.height, class_names=names
            )
            # A TMA core is scored as a whole where it has no tumour annotation.
            missing += not regions.cores and all(region.role != "tumour" for region in regions.regions)
    return missing
