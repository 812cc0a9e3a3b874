"""The workers of the queue: threads that give waiting jobs to warm processes and write down what became of them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qupath_her2.batch.processes import ProcessCrew
from qupath_her2.server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from qupath_her2.batch.job import JobEvent
    from qupath_her2.records import ImageResult
    from qupath_her2.runs.types import Job
    from qupath_her2.server.job_store import JobState, JobStore, StoredJob

__all__ = ["JobRunner", "LiveProgress"]

_POLL_S = 0.2
#: A process that comes to no end of a tile within so many seconds after a cancel is ended.
_GRACE_S = 5.0
#: An image that another process still holds, as after a service was killed, is asked for again after so long.
_BUSY_S = 2.0

#: {refusal: the option whose value would undo it}.
_NEEDS = {"pixel_size_missing": "pixel_size_um", "no_tumour_region": "regions"}


@dataclass(frozen=True, slots=True)
class LiveProgress:
    """Progress of a running job: its share done, 0..1, expected seconds to its end (None: unknown), a sentence."""

    done: float = 0.0
    eta_s: float | None = None
    message: str = ""


class JobRunner:
    """Threads, each with a warm worker process, that work off the queue.

    Parameters
    ----------
    store
        The queue.
    job_of
        Makes the picklable job of a stored one.
    workers
        Jobs worked on at once.
    threads
        Threads for each job.
    idle_s
        A process without work ends after so many seconds.
    """

    def __init__(
        self,
        store: JobStore,
        job_of: Callable[[StoredJob], Job],
        *,
        workers: int = 1,
        threads: int = 1,
        idle_s: float = 1800.0,
    ) -> None:
        self._store, self._job_of = store, job_of
        self._threads, self._idle_s = threads, idle_s
        self._changed = threading.Condition()
        self._is_stopping = False
        self._cancelled: set[str] = set()
        self._live: dict[str, LiveProgress] = {}
        self._crews: list[ProcessCrew] = []
        self._workers = [
            threading.Thread(target=self._work, name=f"jobs {number}", daemon=True)
            for number in range(workers)
        ]

    def start(self) -> None:
        """Begin to work; jobs that a killed service left running wait again."""
        self._store.put_back()
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """End all work: running jobs end at their next tile and wait for the next start."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def wake(self) -> None:
        """Look at the queue: a job was added."""
        with self._changed:
            self._changed.notify()

    def cancel(self, identity: str) -> None:
        """End a running job; its process gives it up at the next tile, or is ended. One that just ended stays so."""
        with self._changed:
            self._cancelled.add(identity)

    def progress(self, identity: str) -> LiveProgress:
        """Return how far a running job is."""
        return self._live.get(identity, LiveProgress())

    def is_alive(self) -> bool:
        """Return whether the threads that work off the queue run."""
        return all(worker.is_alive() for worker in self._workers)

    def pids(self) -> list[int]:
        """Return the ids of the worker processes."""
        return [pid for crew in self._crews for pid in crew.pids()]

    def _work(self) -> None:
        crew: ProcessCrew | None = None
        idle_since = time.monotonic()
        while not self._is_stopping:
            job = self._store.take()
            if job is not None:
                if crew is None:
                    crew = ProcessCrew(1, self._threads)
                    self._crews.append(crew)
                self._do(crew, job)
                idle_since = time.monotonic()
                continue
            if crew is not None and time.monotonic() - idle_since > self._idle_s:
                self._end_crew(crew)
                crew = None
            with self._changed:
                if not self._is_stopping:
                    self._changed.wait(1.0)
        if crew is not None:
            self._end_crew(crew)

    def _end_crew(self, crew: ProcessCrew) -> None:
        crew.close()
        self._crews.remove(crew)

    def _do(self, crew: ProcessCrew, job: StoredJob) -> None:
        begun = time.monotonic()
        try:
            given = self._job_of(job)
        except Problem as problem:
            # A network that was offered when the job was accepted, and is gone.
            self._store.end(job.id, "failed", f"{problem.error} {problem.advice}".strip())
            return
        crew.give(given)
        asked_at: float | None = None
        while True:
            for event in crew.wait(_POLL_S):
                if event.kind == "tiles":
                    self._live[job.id] = _progress(event, time.monotonic() - begun)
                elif event.kind == "dropped" or event.result is not None:
                    self._end(job, event.result)
                    return
            if not (self._is_stopping or job.id in self._cancelled):
                continue
            if asked_at is None:
                crew.drop()
                asked_at = time.monotonic()
            elif time.monotonic() - asked_at > _GRACE_S:
                crew.kill()

    def _end(self, job: StoredJob, result: ImageResult | None) -> None:
        with self._changed:
            is_cancelled = job.id in self._cancelled
            self._cancelled.discard(job.id)
        is_given_up = result is None or result.failure == "killed"
        is_busy = result is not None and result.failure == "busy"
        if is_cancelled and (is_given_up or is_busy):
            self._store.end(job.id, "cancelled", "Cancelled.")
        elif is_given_up:
            # Stopped in order, or a process that the system ended: another try may succeed.
            self._store.put_back(job.id, is_tried=not self._is_stopping)
        elif is_busy:
            self._store.put_back(job.id, is_tried=False)
            time.sleep(_BUSY_S)
        elif result is not None:
            state, message, needs = _outcome(result)
            self._store.end(job.id, state, message, needs=needs, run_dir=result.run_dir)
            with self._changed:
                # One that came too late: what was finished stays, and the next job is another.
                self._cancelled.discard(job.id)
        self._live.pop(job.id, None)


def _progress(event: JobEvent, seconds: float) -> LiveProgress:
    done = event.done_tiles / max(1, event.total_tiles)
    eta_s = seconds * (1 - done) / done if done > 0 else None
    return LiveProgress(done, eta_s, f"{event.n_cells:,} cells so far" if event.n_cells else "")


def _outcome(result: ImageResult) -> tuple[JobState, str, tuple[str, ...]]:
    """Return state, sentence and missing options of a result."""
    if result.score is None:
        return "failed", result.error or "", ()
    code = result.score.refusal_code or ""
    if result.score.status != "not assessable":
        return "done", result.score.reason, ()
    return "refused", result.score.reason, (_NEEDS[code],) if code in _NEEDS else ()
