"""Push: imports cells, classes, measurements and scores from the exchange folder into a QuPath project, headless."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from qupath_her2.errors import ExchangeError, Her2Error
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.project.exchange.runs import current_run, read_record
from qupath_her2.project.folder import OUTPUT_NAME, pulled_images
from qupath_her2.project.qupath.installations import QuPath, choose_qupath
from qupath_her2.project.qupath.jvm import call_qupath
from qupath_her2.project.qupath.open_window import refuse_open_project
from qupath_her2.project.qupath.qpproj import ProjectEntry, open_project_file

__all__ = ["Pushed", "push"]

#: Reading and saving an image without any object takes as long as that many objects.
_OBJECTS_PER_IMAGE = 5_000


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
    n_current
        Images that hold the run that counts already, and were left out.
    """

    project: Path
    qupath: QuPath
    images: tuple[dict[str, Any], ...] = field(default=())
    n_current: int = 0

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
    """Write the current results into the images they belong to: one QuPath for all, each image as one transaction.

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
        Called with an event when an image is begun (``started``) and when it is done (``image``, see
        `Pushed.images`), each with ``images``, ``images_done`` and the ``share`` of all work that is done, 0..1.

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
    runs, damaged = _runs(her2)
    qupath = choose_qupath(project.version)
    broken = tuple(_damaged(entry, damaged[entry.id]) for entry in selected if entry.id in damaged)
    # Scores, predictions and proposals are separate layers in QuPath, each with its own run.
    known = [entry for entry in selected if entry.id in runs]
    pending = [e for e in known if not (only_new and e.run_in(her2.name) == runs[e.id].run)]
    n_current = len(known) - len(pending)
    # Starting a JVM takes seconds, which a repeated batch run would spend on every project.
    if not pending:
        return Pushed(project.path, qupath, broken, n_current)
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
    sizes = [entry.n_objects + _n_objects(runs[entry.id]) for entry in pending]
    told = None if listen is None else _Told(sizes, listen)
    found = call_qupath("push", request, qupath, heap_mb=heap_mb, n_objects=max(sizes), listen=told)
    return Pushed(project.path, qupath, (*found["images"], *broken), n_current)


class _Told:
    """Adds to the events of QuPath how much of the work is done; it works on the images in the order of `sizes`."""

    def __init__(self, sizes: Sequence[int], listen: Callable[[dict[str, Any]], None]) -> None:
        # Work done after each number of images.
        self._work = list(accumulate((_OBJECTS_PER_IMAGE + size for size in sizes), initial=0))
        self._listen = listen
        self._done = 0

    def __call__(self, event: dict[str, Any]) -> None:
        self._done += event.get("event") == "image"
        share = round(self._work[self._done] / self._work[-1], 4)
        self._listen({**event, "images_done": self._done, "images": len(self._work) - 1, "share": share})


def _damaged(entry: ProjectEntry, reason: str) -> dict[str, Any]:
    return {"state": "refused", "image": entry.id, "name": entry.name, "reason": reason}


def _n_objects(record: RunRecord) -> int:
    return sum(int(record.counts.get(kind, 0)) for kind in ("cells", "patches"))


def _runs(her2: Path) -> tuple[dict[str, RunRecord], dict[str, str]]:
    """Return {entry id: record of the current run} of the images that have one, and what is wrong with the others."""
    images = pulled_images(her2)
    if images is None:
        raise ExchangeError(
            f"There is nothing to push in '{her2}': the project was never pulled. "
            "Run first: qupath-her2 run PROJECT.qpproj."
        )
    found, damaged = {}, {}
    for image in images:
        if image.entry_id is None:
            continue
        try:
            run_dir = current_run(her2, image.id)
            if run_dir is not None:
                found[image.entry_id] = read_record(run_dir)
        except Her2Error as error:
            # One damaged result must not keep those of the other images from the project.
            damaged[image.entry_id] = str(error)
    if not found and not damaged:
        raise ExchangeError(f"No image has a result in '{her2}'. Run first: qupath-her2 run PROJECT.qpproj.")
    return found, damaged
