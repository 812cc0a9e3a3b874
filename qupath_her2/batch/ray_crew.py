"""Ray: actors that each take one image at a time, on one machine or a cluster.

Actors keep what a worker loads once, compiled kernels and networks. Paths go in and small results come out: pixels
never cross Ray's object store. An actor that dies, with its node or alone, costs the try of its image; a new one is
asked for in its place, and starts where the cluster has room.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qupath_her2.batch.drive import drive
from qupath_her2.batch.job import JobEvent, end_of
from qupath_her2.batch.journal import Journal
from qupath_her2.batch.read_ahead import read_ahead
from qupath_her2.errors import MissingExtraError
from qupath_her2.runs.score_image import failed_result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from qupath_her2.batch.plan import BatchPlan
    from qupath_her2.batch.stopping import Stop
    from qupath_her2.runs.types import Job

__all__ = ["RayCrew", "RayExecutor", "Scorer"]


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            'Batches on Ray need the package ray: pip install "qupath-her2[ray]".', name="ray"
        ) from error
    return ray


class Scorer:
    """What an actor runs. Its methods are called by Ray from threads, one works while another asks it to drop."""

    def __init__(self) -> None:
        self._is_dropped = False

    def ready(self) -> bool:
        """Answer once the actor has started."""
        return True

    def drop(self) -> None:
        """Drop the image at its next tile."""
        self._is_dropped = True

    def work(self, job: Job, threads: int, ahead: Path | None) -> JobEvent:
        """Do a job.

        Parameters
        ----------
        job
            The job.
        threads
            Threads for it.
        ahead
            The image that follows; None reads nothing ahead.

        Returns
        -------
        JobEvent
            ``finished``, or ``dropped``.
        """

        def progress(done: int, total: int, n_cells: int) -> None:
            if self._is_dropped:
                raise KeyboardInterrupt

        with read_ahead(ahead):
            return end_of(job, progress=progress, threads=threads)


@dataclass(slots=True)
class _Actor:
    handle: Any
    ready: Any
    job: Job | None = None
    result: Any = None


@dataclass(slots=True)
class RayCrew:
    """Actors of a Ray cluster that this process is connected to.

    Attributes
    ----------
    actors
        Images worked on at once where the cluster has room for all.
    cores, gpus
        What each actor asks for; a GPU may be shared (0.5).
    """

    actors: int
    cores: float = 1.0
    gpus: float = 0.0
    _live: list[_Actor] = field(default_factory=list)

    def size(self) -> int:
        """Return the number of actors that have started."""
        while len(self._live) < self.actors:
            self._live.append(self._start())
        return sum(actor.ready is None for actor in self._live)

    def _start(self) -> _Actor:
        ray = _ray()
        kind = ray.remote(Scorer).options(
            # Two threads: one that works, and one that hears `drop`.
            num_cpus=self.cores,
            num_gpus=self.gpus,
            max_concurrency=2,
            max_restarts=0,
        )
        handle = kind.remote()
        return _Actor(handle, handle.ready.remote())

    def give(self, job: Job, ahead: Path | None = None, *, alone: bool = False) -> None:
        """Give a job to a free actor; see `Crew.give`."""
        actor = next(one for one in self._live if one.ready is None and one.job is None)
        actor.job, actor.result = job, actor.handle.work.remote(job, max(1, int(self.cores)), ahead)

    def wait(self, timeout_s: float) -> list[JobEvent]:
        """Return the images that ended, and those whose actors died; see `Crew.wait`."""
        self.size()
        waited = {
            ref: actor for actor in self._live for ref in (actor.ready, actor.result) if ref is not None
        }
        if not waited:
            # Every actor is idle, since other workers hold what is left; Ray refuses to wait for nothing.
            time.sleep(timeout_s)
            return []
        ready, _ = _ray().wait(list(waited), num_returns=1, timeout=timeout_s)
        return [event for ref in ready for event in self._read(waited[ref], ref)]

    def _read(self, actor: _Actor, ref: Any) -> list[JobEvent]:
        ray = _ray()
        try:
            value = ray.get(ref)
        except ray.exceptions.RayError as error:
            self._live.remove(actor)
            return [] if actor.job is None else [_lost(actor.job, error)]
        if ref is actor.ready:
            actor.ready = None
            return []
        actor.job = actor.result = None
        return [value]

    def drop(self) -> None:
        """Ask all actors to drop their images."""
        for actor in self._live:
            actor.handle.drop.remote()

    def close(self) -> None:
        """End all actors; what they work on leaves nothing behind."""
        for actor in self._live:
            _ray().kill(actor.handle)
        self._live.clear()


def _lost(job: Job, error: BaseException) -> JobEvent:
    # Ray's messages run over many lines; the first says what happened.
    why = (str(error).strip().splitlines() or [type(error).__name__])[0]
    result = failed_result(
        job, f"The Ray actor died while this image was being scored: {why}", failure="killed"
    )
    return JobEvent("finished", job.image, job.name, result=result)


@dataclass(frozen=True, slots=True)
class RayExecutor:
    """Actors on one machine, or on a cluster.

    Attributes
    ----------
    workers
        Images worked on at once.
    address
        Of a running cluster, or ``auto``; None starts Ray on this machine.
    cores, gpus
        What each actor asks for.
    """

    workers: int = 1
    address: str | None = None
    cores: float = 1.0
    gpus: float = 0.0

    @property
    def name(self) -> str:
        """Name of the executor."""
        return "ray"

    def run(
        self,
        plan: BatchPlan,
        jobs: Sequence[Job],
        *,
        listen: Callable[[JobEvent], None],
        stop: Stop | None = None,
    ) -> bool:
        """Work on all jobs to their end; see `Executor.run`.

        Raises
        ------
        MissingExtraError
            Ray is not installed.
        """
        ray = _ray()
        if not jobs:
            return True
        is_ours = not ray.is_initialized()
        if is_ours:
            # Unnamed, Ray would join whatever cluster was started last on this machine.
            here = {} if self.address else {"num_cpus": self.workers * self.cores, "include_dashboard": False}
            ray.init(address=self.address or "local", log_to_driver=False, configure_logging=False, **here)
        try:
            crew = RayCrew(min(self.workers, len(jobs)), self.cores, self.gpus)
            journal = Journal(plan.out, plan.keys, self.name)
            drive(jobs, crew, listen=listen, journal=journal, stop=stop, busy="wait")
        finally:
            if is_ours:
                ray.shutdown()
        return True
