"""Crews: the workers of an engine, each taking one image at a time, behind one protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from qupath_her2.batch.job import JobEvent, perform
from qupath_her2.batch.stopping import heard_interrupt

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qupath_her2.runs.types import Job

__all__ = ["Crew", "HereCrew"]


class Crew(Protocol):
    """Workers of one engine. Results and the ends of workers come as events; whose turn it is, `drive` decides."""

    def size(self) -> int:
        """Return how many images can be worked on at once now; machines may come and go."""
        ...

    def give(self, job: Job, ahead: Path | None = None, *, alone: bool = False) -> None:
        """Give a job to a free worker.

        Parameters
        ----------
        job
            The job.
        ahead
            The image that follows, whose bytes may be read meanwhile.
        alone
            Nothing is worked on beside it, so that it may take all memory.
        """
        ...

    def wait(self, timeout_s: float) -> list[JobEvent]:
        """Return what happened since, after at most this time, s.

        An image whose worker process ended comes back as ``finished``, failed with class ``killed``.
        """
        ...

    def drop(self) -> None:
        """Ask for the running images to be dropped at their next tile."""
        ...

    def close(self) -> None:
        """End all workers; running images are dropped."""
        ...


class HereCrew:
    """The process that calls: one image at a time, with no process to start and none to lose."""

    def __init__(self, threads: int = 1, tell: Callable[[JobEvent], None] | None = None) -> None:
        self._threads = threads
        # Tiles are told while `wait` works on the image.
        self._tell = tell
        self._job: Job | None = None
        self._is_dropped = False

    def size(self) -> int:
        """Return 1."""
        return 1

    def give(self, job: Job, ahead: Path | None = None, *, alone: bool = False) -> None:
        """Take the job, which `wait` does; see `Crew.give`."""
        self._job = job

    def wait(self, timeout_s: float) -> list[JobEvent]:
        """Do the job to its end, however long it takes."""
        job, self._job = self._job, None
        if job is None:
            return []
        if self._tell is not None:
            self._tell(JobEvent("started", job.image, job.name))

        def progress(done: int, total: int, n_cells: int) -> None:
            if self._tell is not None:
                self._tell(JobEvent("tiles", job.image, job.name, done, total, n_cells))
            if self._is_dropped:
                raise KeyboardInterrupt

        try:
            with heard_interrupt() as interrupt:
                result = perform(job, progress=progress, threads=self._threads)
            if interrupt.is_set():
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            if not self._is_dropped:
                raise
            return [JobEvent("dropped", job.image, job.name)]
        return [JobEvent("finished", job.image, job.name, n_cells=result.n_cells, result=result)]

    def drop(self) -> None:
        """Drop the image at its next tile."""
        self._is_dropped = True

    def close(self) -> None:
        """Nothing is left to end."""
