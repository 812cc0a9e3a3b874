"""Executors: engines that bring every job of a planned batch to an outcome, behind one protocol.

What becomes of an image is read from the event files and the results, never from an executor's memory: a batch may be
begun by one executor, killed, and ended by another.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from qupath_her2.batch.drive import drive
from qupath_her2.batch.journal import Journal, read_events
from qupath_her2.batch.processes import ProcessCrew
from qupath_her2.batch.progress import fold_events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qupath_her2.batch.job import JobEvent
    from qupath_her2.batch.plan import BatchPlan
    from qupath_her2.batch.stopping import Stop
    from qupath_her2.runs.types import Job

__all__ = ["DoneElsewhere", "Executor", "LocalExecutor", "Shard"]

#: Between two looks at the event files of other drivers passes so many times the time that the last look took.
_LOOK_SHARE = 20.0


class Executor(Protocol):
    """An engine for many images."""

    @property
    def name(self) -> str:
        """``local``, ``slurm`` or ``ray``."""
        ...

    @property
    def workers(self) -> int:
        """Images worked on at once, for the estimate of time."""
        ...

    def run(
        self,
        plan: BatchPlan,
        jobs: Sequence[Job],
        *,
        listen: Callable[[JobEvent], None],
        stop: Stop | None = None,
    ) -> bool:
        """Bring jobs to an outcome.

        Parameters
        ----------
        plan
            The saved plan, for its folder and keys.
        jobs
            Those of its jobs that have no outcome yet, longest first.
        listen
            Called with each event that the engine tells.
        stop
            Asked whether the run is to end.

        Returns
        -------
        bool
            False where the engine goes on with them after this process has ended.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several drivers of the same batch, on machines that share its folder.

    Attributes
    ----------
    index, count
        Which of how many, from 1.
    """

    index: int
    count: int

    def order(self, jobs: Sequence[Job], all_jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs of this shard, then those of the others, the shortest first: what they left behind.

        Parameters
        ----------
        jobs
            Those that have no outcome yet.
        all_jobs
            Those of the plan, which the shards divide among themselves.

        Returns
        -------
        list[Job]
            Every job of `jobs` once.
        """
        own = {job.image for job in all_jobs[self.index - 1 :: self.count]}
        mine = [job for job in jobs if job.image in own]
        return mine + [job for job in reversed(jobs) if job.image not in own]


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Worker processes of this machine.

    Attributes
    ----------
    workers
        Images worked on at once.
    memory_gb
        Memory that the workers may take together, GB; each is bound to its share, and an image that needs more is
        tried alone with all of it. None binds none.
    shard
        Which part of the batch is begun first, where several machines work on it; None for all of it.
    """

    workers: int = 1
    memory_gb: float | None = None
    shard: Shard | None = None

    @property
    def name(self) -> str:
        """Name of the executor."""
        return "local" if self.shard is None else f"shard {self.shard.index}/{self.shard.count}"

    def run(
        self,
        plan: BatchPlan,
        jobs: Sequence[Job],
        *,
        listen: Callable[[JobEvent], None],
        stop: Stop | None = None,
    ) -> bool:
        """Work on all jobs to their end; see `Executor.run`."""
        if not jobs:
            return True
        processes = max(1, min(self.workers, len(jobs)))
        # Processes even for one worker: its death costs one image, not the batch.
        crew = ProcessCrew(processes, max(1, self.workers // processes), self.memory_gb)
        journal = Journal(plan.out, plan.keys, self.name)
        if self.shard is None:
            drive(jobs, crew, listen=listen, journal=journal, stop=stop, busy="wait")
        else:
            mine = self.shard.order(jobs, plan.jobs)
            done = DoneElsewhere(plan)
            drive(mine, crew, listen=listen, journal=journal, stop=stop, busy="leave", is_done=done)
        return True


class DoneElsewhere:
    """Asks the event files of the other drivers whether an image has an outcome by now."""

    def __init__(self, plan: BatchPlan) -> None:
        self._plan, self._keys, self._next_look = plan, plan.keys, -math.inf
        self._done: set[str] = set()

    def __call__(self, job: Job) -> bool:
        """Return whether the image has an outcome, by a look that is not old; an image done twice is up to date."""
        now = time.monotonic()
        if now >= self._next_look:
            outcomes = fold_events(self._keys, read_events(self._plan.out))
            self._done = {image for image, one in outcomes.items() if one.is_final}
            took = time.monotonic() - now
            self._next_look = now + _LOOK_SHARE * took
        return job.image in self._done
