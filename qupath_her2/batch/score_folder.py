"""Scoring of a folder in one call: plan, run, report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qupath_her2.batch.job import JobEvent
from qupath_her2.batch.local import run_jobs
from qupath_her2.report.build import write_report
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qupath_her2.config import Settings
    from qupath_her2.records import ImageResult

__all__ = ["failures", "score_folder"]


def score_folder(
    folder: Path,
    settings: Settings | None = None,
    *,
    workers: int = 1,
    listen: Callable[[JobEvent], None] | None = None,
    **options: Any,
) -> list[ImageResult]:
    """Score all images of a folder and write ``summary.csv``, ``regions.csv`` and ``report.html``.

    Parameters
    ----------
    folder
        Images with their region files beside them.
    settings
        Settings of all rooms; None takes ``her2.toml`` of the folder, or the defaults.
    workers
        Number of processes.
    listen
        Called with each event.
    **options
        Any field of `RunOptions`, e.g. ``whole_tissue=True, pixel_size_um=0.25``.

    Returns
    -------
    list[ImageResult]
        In the order of the image names; failed ones are among them.

    Raises
    ------
    Her2Error
        The run cannot start: no image, ambiguous region files, a folder that cannot be written.
    """
    plan = plan_jobs(folder, RunOptions(**options), settings)
    results = run_jobs(plan.jobs, workers=workers, listen=listen)
    # Also when images failed: the report lists them with their reasons.
    write_report(plan.out, failures(results))
    return results


def failures(results: list[ImageResult]) -> dict[str, tuple[str, str]]:
    """Return {image id: (name, message)} of the failed images, as `write_report` takes it."""
    return {result.image: (result.name, result.error or "") for result in results if result.state == "failed"}
