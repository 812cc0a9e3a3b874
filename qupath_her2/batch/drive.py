"""The driver: gives jobs to a crew, longest first, until each image has an outcome or the run is to end."""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from qupath_her2.batch.job import JobEvent, at_half_load, image_file
from qupath_her2.batch.retries import Retries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qupath_her2.batch.crew import Crew
    from qupath_her2.batch.journal import Journal
    from qupath_her2.batch.stopping import Stop
    from qupath_her2.records import ImageResult
    from qupath_her2.runs.types import Job

__all__ = ["Busy", "drive"]

#: An image that another worker holds: a failure, to be waited for, or that worker's business.
Busy: TypeAlias = Literal["fail", "wait", "leave"]

#: An image that another worker holds is asked for again after so many seconds.
_BUSY_S = 5.0
_POLL_S = 0.2


@dataclass(slots=True)
class _Run:
    """State of one run: what waits, what runs, what is done."""

    crew: Crew
    listen: Callable[[JobEvent], None]
    journal: Journal | None
    busy_is: Busy
    is_done_elsewhere: Callable[[Job], bool] | None
    queue: deque[Job]
    most_at_once: int = sys.maxsize
    retries: Retries = field(default_factory=Retries)
    running: dict[str, Job] = field(default_factory=dict)
    #: (not before this time, job) of images that others hold.
    busy: list[tuple[float, Job]] = field(default_factory=list)
    #: Tried last, one at a time.
    alone: deque[Job] = field(default_factory=deque)
    results: dict[str, ImageResult] = field(default_factory=dict)
    is_ending: bool = False

    def is_done(self) -> bool:
        return not (self.running or ((self.queue or self.busy or self.alone) and not self.is_ending))

    def give_out(self) -> None:
        """Give jobs to free workers."""
        now = time.monotonic()
        due = [job for at, job in self.busy if at <= now]
        self.busy = [(at, job) for at, job in self.busy if at > now]
        self.queue.extend(due)
        while self.queue and len(self.running) < min(self.most_at_once, self.crew.size()):
            job = self.queue.popleft()
            if self.is_done_elsewhere is None or not self.is_done_elsewhere(job):
                self._give(job)
        if self.alone and not (self.queue or self.running) and self.crew.size():
            self._give(self.alone.popleft(), alone=True)

    def _give(self, job: Job, *, alone: bool = False) -> None:
        # The worker that is free next takes the next job: by now that image may be read.
        ahead = image_file(self.queue[0]) if self.queue else None
        self.running[job.image] = job
        if self.journal is not None:
            self.journal.started(job)
        self.crew.give(job, ahead, alone=alone)

    def take(self, event: JobEvent) -> None:
        """Take an event of the crew."""
        if event.kind == "dropped":
            self._drop(event)
        elif event.result is not None:
            self._end(event, event.result)
        else:
            self.listen(event)

    def _drop(self, event: JobEvent) -> None:
        self.queue.appendleft(self.running.pop(event.image))
        if self.journal is not None:
            self.journal.dropped(event.image)

    def _end(self, event: JobEvent, result: ImageResult) -> None:
        job = self.running.pop(event.image)
        if self.is_ending and result.failure == "killed":
            # Whoever ends this run may have ended its workers first.
            self.running[job.image] = job
            self._drop(event)
            return
        if result.failure == "busy" and self.busy_is != "fail":
            if self.busy_is == "wait":
                self.busy.append((time.monotonic() + _BUSY_S, job))
            if self.journal is not None:
                self.journal.dropped(event.image)
            return
        retry = self.retries.next(result) if result.state == "failed" else None
        if self.journal is not None:
            self.journal.ended(event, retry)
        if retry is None:
            self.results[result.image] = result
            self.listen(event)
            return
        if retry != "again":
            job = at_half_load(job)
            self.most_at_once = max(1, min(self.most_at_once, self.crew.size()) // 2)
        (self.alone if retry == "alone" else self.queue).append(job)


def drive(
    jobs: Sequence[Job],
    crew: Crew,
    *,
    listen: Callable[[JobEvent], None],
    journal: Journal | None = None,
    stop: Stop | None = None,
    busy: Busy = "fail",
    is_done: Callable[[Job], bool] | None = None,
) -> dict[str, ImageResult]:
    """Do jobs with a crew, and try again what may pass.

    Parameters
    ----------
    jobs
        In the order in which they are begun.
    crew
        Its workers are ended before this returns or raises.
    listen
        Called in this thread with each event; of tries that are repeated only the last is told.
    journal
        Takes down the starts and ends; None takes down nothing.
    stop
        Asked whether the run is to end; None runs to the end.
    busy
        What an image is that another worker holds: it fails, is waited for, or is left to the other.
    is_done
        Asked before an image is begun whether another driver has ended it meanwhile; None asks nobody.

    Returns
    -------
    dict[str, ImageResult]
        {image: its result}; without images that were dropped, or not begun, because the run is to end.

    Raises
    ------
    KeyboardInterrupt
        The user cancelled; unfinished images leave nothing behind.
    """
    run = _Run(crew, listen, journal, busy, is_done, deque(jobs))
    try:
        while not run.is_done():
            if stop is not None and stop.is_wanted:
                run.is_ending = True
                if stop.must_drop:
                    crew.drop()
            if not run.is_ending:
                run.give_out()
            # Not for good: the next image that others hold is due, or a signal wants an answer.
            for event in crew.wait(_POLL_S):
                run.take(event)
    finally:
        crew.close()
        if journal is not None:
            journal.closed("ended" if run.is_done() and not run.is_ending else "stopped")
    return run.results
