"""Jobs on this machine: in this process, or in worker processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qupath_her2.batch.crew import HereCrew
from qupath_her2.batch.drive import drive
from qupath_her2.batch.job import JobEvent
from qupath_her2.batch.processes import ProcessCrew

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qupath_her2.batch.crew import Crew
    from qupath_her2.records import ImageResult
    from qupath_her2.runs.types import Job

__all__ = ["local_crew", "run_jobs"]


def run_jobs(
    jobs: Sequence[Job], *, workers: int = 1, listen: Callable[[JobEvent], None] | None = None
) -> list[ImageResult]:
    """Score all jobs, in this process or in worker processes.

    A failed image does not affect the others. A KeyboardInterrupt stops after the current tiles; unfinished images
    leave nothing behind.

    Parameters
    ----------
    jobs
        One per image.
    workers
        Number of processes; with one, everything runs in this process. With fewer images than workers, the remaining
        ones become threads of each image. The results do not depend on it.
    listen
        Called in the main thread of this process with each event.

    Returns
    -------
    list[ImageResult]
        In the order of `jobs`.

    Raises
    ------
    KeyboardInterrupt
        The user cancelled.
    """
    tell = listen or _ignore
    results = drive(jobs, local_crew(len(jobs), workers, tell), listen=tell)
    return [results[job.image] for job in jobs]


def local_crew(n_jobs: int, workers: int, tell: Callable[[JobEvent], None] | None = None) -> Crew:
    """Return workers of this machine.

    Parameters
    ----------
    n_jobs
        Number of images there are.
    workers
        Number of images worked on at once; what more workers there are become threads of each image.
    tell
        Called with the tiles of an image that this process itself works on.

    Returns
    -------
    Crew
        This process, or processes.
    """
    processes = max(1, min(workers, n_jobs))
    threads = max(1, workers // processes)
    return HereCrew(threads, tell) if processes == 1 else ProcessCrew(processes, threads)


def _ignore(event: JobEvent) -> None:
    """Discard an event."""
