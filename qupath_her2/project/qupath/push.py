"""Push: imports cells, classes, measurements and scores from the exchange folder into a QuPath project, headless."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.runs import current_run, read_record
from qupath_her2.project.folder import OUTPUT_NAME, pulled_images
from qupath_her2.project.qupath.installations import QuPath, choose_qupath
from qupath_her2.project.qupath.jvm import call_qupath
from qupath_her2.project.qupath.open_window import refuse_open_project
from qupath_her2.project.qupath.qpproj import open_project_file

__all__ = ["Pushed", "push"]


@dataclass(frozen=True, slots=True)
class Pushed:
    """The result of a push, or of a dry run.

    Attributes
    ----------
    project
        The project file.
    qupath
        The QuPath that was used.
    images
        The outcome of each image with a result, in project order: ``state`` (``pushed``, ``would-push`` or
        ``refused``), ``image``, ``name``, ``run``, ``score``, counts, and the ``reason`` of a refusal.
    """

    project: Path
    qupath: QuPath
    images: tuple[dict[str, Any], ...] = field(default=())

    @property
    def refused(self) -> tuple[dict[str, Any], ...]:
        """The images that were left unchanged, each with its ``reason``."""
        return tuple(image for image in self.images if image["state"] == "refused")

    def total(self, count: str) -> int:
        """Return the sum of a count, e.g. ``added``, over the images that were or would be changed."""
        return sum(int(image.get(count) or 0) for image in self.images if image["state"] != "refused")


def push(
    place: Path,
    *,
    out: Path | None = None,
    images: Sequence[str] = (),
    dry_run: bool = False,
    only_new: bool = False,
    replace_lost: bool = False,
    heap_mb: int | None = None,
    listen: Callable[[dict[str, Any]], None] | None = None,
) -> Pushed:
    """Write the current results into the images they belong to, each image as one transaction.

    Parameters
    ----------
    place
        ``project.qpproj`` or its folder.
    out
        The exchange folder; None for ``her2`` next to the project.
    images
        Names or patterns; empty takes all.
    dry_run
        Work out what would change, and change nothing.
    only_new
        Leave out images that hold the run that counts already; where none is left, no QuPath is started.
    replace_lost
        Also replace objects of ours whose run is gone, though they may hold edits that nothing tells of.
    heap_mb
        Java heap in MB; None to estimate it from the objects in the project and the cells to be added.
    listen
        Called with an event for each image, see `Pushed.images`.

    Returns
    -------
    Pushed
        The outcome of each image; no images if there was nothing to do.

    Raises
    ------
    QuPathError
        No QuPath was found, or the project is open in a QuPath window.
    ExchangeError
        The project was never pulled, or no image has a result.
    """
    project = open_project_file(place)
    selected = project.select(images)
    her2 = (out or project.path.parent / OUTPUT_NAME).absolute()
    runs = _runs(her2)
    qupath = choose_qupath(project.version)
    # Scores, predictions and proposals are separate layers in QuPath, each with its own run.
    shown = {e.id: e.run_in(her2.name) for e in selected}
    pending = [e for e in selected if e.id in runs and not (only_new and shown[e.id] == runs[e.id].run)]
    # Starting a JVM takes seconds, which a repeated batch run would spend on every project.
    if not pending:
        return Pushed(project.path, qupath)
    # A dry run saves nothing, so an open window does not matter.
    if not dry_run:
        refuse_open_project(project.path)
    request = {
        "project": str(project.path),
        "her2": str(her2),
        "only": [entry.id for entry in pending],
        "dry_run": dry_run,
        "replace_lost": replace_lost,
    }
    # Old results are still in memory while the new ones are added, so both count.
    largest = max(entry.n_objects + _n_objects(runs[entry.id]) for entry in pending)
    found = call_qupath("push", request, qupath, heap_mb=heap_mb, n_objects=largest, listen=listen)
    return Pushed(project.path, qupath, tuple(found["images"]))


def _n_objects(record: RunRecord) -> int:
    return sum(int(record.counts.get(kind, 0)) for kind in ("cells", "patches"))


def _runs(her2: Path) -> dict[str, RunRecord]:
    """Return the record of the current run of each image that has one, by entry id."""
    images = pulled_images(her2)
    if images is None:
        raise ExchangeError(
            f"There is nothing to push in '{her2}': the project was never pulled. "
            "Run first: qupath-her2 run PROJECT.qpproj."
        )
    found = {}
    for image in images:
        run_dir = current_run(her2, image.id)
        if run_dir is not None and image.entry_id is not None:
            found[image.entry_id] = read_record(run_dir)
    if not found:
        raise ExchangeError(f"No image has a result in '{her2}'. Run first: qupath-her2 run PROJECT.qpproj.")
    return found
