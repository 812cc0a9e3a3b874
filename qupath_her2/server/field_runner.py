"""The warm process for what a caller waits for: apart from the queue, so that a click never waits for a slide."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from qupath_her2.batch.processes import ProcessCrew
from qupath_her2.server.problems import Problem

if TYPE_CHECKING:
    from qupath_her2.records import ImageResult
    from qupath_her2.runs.types import Job

__all__ = ["FieldRunner"]

_POLL_S = 0.05
#: A field that takes longer has met a fault: the first of a large slide opens it and searches its tissue.
_MOST_S = 120.0
#: Callers that may wait for the process; further ones are told when to come again.
_MOST_WAITING = 8


class FieldRunner:
    """One warm worker process that does one short job at a time: a field, or a look at an upload.

    Parameters
    ----------
    threads
        Threads for each field.
    idle_s
        The process ends after so many seconds without a field.
    """

    def __init__(self, *, threads: int = 1, idle_s: float = 1800.0) -> None:
        self._threads, self._idle_s = threads, idle_s
        self._turn = threading.Lock()
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)
        self._crew: ProcessCrew | None = None
        self._timer: threading.Timer | None = None
        self._is_stopping = False

    def perform(self, job: Job) -> ImageResult:
        """Do a job, and return its result once it is there.

        Raises
        ------
        Problem
            429 where too many wait already, 503 while the service ends, 504 where it takes too long.
        """
        if not self._waiting.acquire(blocking=False):
            raise Problem(
                429,
                f"{_MOST_WAITING} requests are waiting already.",
                "Try again later.",
                {"Retry-After": "2"},
            )
        try:
            with self._turn:
                return self._perform(job)
        finally:
            self._waiting.release()

    def stop(self) -> None:
        """End the process; a field that it works on is dropped."""
        self._is_stopping = True
        with self._turn:
            self._unload()

    def pids(self) -> list[int]:
        """Return the id of the worker process, if there is one."""
        return [] if self._crew is None else self._crew.pids()

    def _perform(self, job: Job) -> ImageResult:
        if self._timer is not None:
            self._timer.cancel()
        if self._crew is None:
            self._crew = ProcessCrew(1, self._threads)
        try:
            return self._wait(self._crew, job)
        finally:
            self._timer = threading.Timer(self._idle_s, self._unload_if_idle)
            self._timer.daemon = True
            self._timer.start()

    def _wait(self, crew: ProcessCrew, job: Job) -> ImageResult:
        crew.give(job)
        end = time.monotonic() + _MOST_S
        while True:
            for event in crew.wait(_POLL_S):
                if event.result is not None:
                    return event.result
            if self._is_stopping or time.monotonic() > end:
                # The next field begins in a fresh process, which knows nothing of this one.
                crew.kill()
                crew.close()
                self._crew = None
                if self._is_stopping:
                    raise Problem(503, "The service is ending.", "Start it again.")
                raise Problem(504, f"It took more than {_MOST_S:.0f} s.", "Choose a smaller field.")

    def _unload_if_idle(self) -> None:
        # A field that came meanwhile has set a timer of its own.
        if self._turn.acquire(blocking=False):
            try:
                self._unload()
            finally:
                self._turn.release()

    def _unload(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._crew is not None:
            self._crew.close()
            self._crew = None
