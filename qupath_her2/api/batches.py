"""Batches from Python: planned, begun or gone on with, and looked at from anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qupath_her2.api.project import placed_options
from qupath_her2.batch.executor import LocalExecutor
from qupath_her2.batch.finish import finish_batch
from qupath_her2.batch.kinds import Kind, kind_folder, kind_settings, plan_kind
from qupath_her2.batch.plan import load_plan
from qupath_her2.batch.progress import Progress, progress_of
from qupath_her2.batch.run_batch import batch_folder, run_batch
from qupath_her2.runs.options import RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from qupath_her2.api.project import Project
    from qupath_her2.batch.executor import Executor
    from qupath_her2.batch.job import JobEvent
    from qupath_her2.config import Settings

__all__ = ["batch_images", "batch_status"]


def batch_images(
    source: Project | str | Path,
    *,
    kind: Kind = "score",
    model: str | Path | None = None,
    cells: str | None = None,
    settings: Settings | None = None,
    executor: Executor | None = None,
    workers: int = 1,
    retry_failed: bool = False,
    listen: Callable[[JobEvent], None] | None = None,
    **options: Any,
) -> Progress:
    """Score, predict or embed many slides, as ``qupath-her2 batch`` does; called again, it does only what is left.

    Parameters
    ----------
    source
        From `open_project`, a folder of images, or a list of slides (CSV).
    kind
        What is done with each image.
    model
        Checkpoint of a prediction, path without ending.
    cells
        Source of cells as for `run`; None takes that of the settings.
    settings
        Settings of all rooms; None takes ``her2.toml`` of the folder, or the defaults.
    executor
        The engine, such as a `RayExecutor` or a `SlurmExecutor`; None takes processes of this machine.
    workers
        Number of those processes.
    retry_failed
        Try images again that were set aside.
    listen
        Called with each event that the engine tells.
    **options
        Any other field of `RunOptions`, e.g. ``out="results", whole_tissue=True``.

    Returns
    -------
    Progress
        The batch at its end, or as it was submitted where the engine goes on by itself; see `batch_status`.

    Raises
    ------
    Her2Error
        The batch cannot start: no image, a list that cannot be used, a folder that cannot be written.

    Examples
    --------
    >>> found = batch_images("example_projects/01_score_cells", images=("case04*",), out=tmp / "her2")
    >>> found.counts["done"], batch_status(tmp / "her2").counts["waiting"]
    (1, 0)
    """
    place, options = placed_options(source, options)
    checkpoint = None if model is None else Path(model)
    settings = settings or kind_settings(place, kind, model=checkpoint)
    chosen = RunOptions(**{**options, "out": kind_folder(place, options["out"], kind, lambda: settings)})
    plan = plan_kind(place, kind, chosen, settings, model=checkpoint, cells=cells, threads=workers)
    if run_batch(plan, executor or LocalExecutor(workers), retry_failed=retry_failed, listen=listen):
        finish_batch(plan, progress_of(plan))
    return progress_of(plan)


def batch_status(out: str | Path) -> Progress:
    """Return how far a batch is, from its plan and its event files, on whatever machine it runs.

    Parameters
    ----------
    out
        The output folder of the batch, or the folder of images where it is.

    Returns
    -------
    Progress
        Counts of images by state, slides per hour, time left, where the time goes, and what became of each image.

    Raises
    ------
    ExchangeError
        The folder has no plan of a batch.
    """
    return progress_of(load_plan(batch_folder(Path(out))))
