"""Worker processes of this machine, each with a pipe of its own.

They are started by spawn on every system, never by fork: a forked copy of a process whose threads hold the locks of an
image library can hang forever. A pool of the standard library is given up as a whole when one of its processes is
killed, and its queues, shared by all, may stay locked by the dead one; here a killed process costs its own image.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qupath_her2.batch.job import JobEvent, end_of
from qupath_her2.batch.read_ahead import read_ahead
from qupath_her2.runs.score_image import failed_result

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from qupath_her2.runs.types import Job

__all__ = ["ProcessCrew"]

#: Signals that a terminal or a scheduler sends to a whole process group; the driver hears them and ends its workers.
_FOR_THE_DRIVER = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
)
#: A worker that does not end by itself within so many seconds is killed; it holds no image by then.
_END_S = 20.0


@dataclass(slots=True)
class _Worker:
    """A process, this end of its pipe, and the job that it has."""

    process: BaseProcess
    pipe: Any
    job: Job | None = None


class ProcessCrew:
    """Worker processes; those that end are replaced.

    Parameters
    ----------
    processes
        Number of images worked on at once.
    threads
        Threads for each image.
    memory_gb
        Memory that all may take together, GB; None binds none. An image in which a worker asks for more than its share
        fails with class ``memory``; a worker that holds half its share after an image is replaced by a fresh one.
    """

    def __init__(self, processes: int, threads: int = 1, memory_gb: float | None = None) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._processes, self._threads = processes, threads
        self._memory_mb = None if memory_gb is None else 1000 * memory_gb
        self._workers: list[_Worker] = []

    def size(self) -> int:
        """Return the number of processes."""
        return self._processes

    def give(self, job: Job, ahead: Path | None = None, *, alone: bool = False) -> None:
        """Give a job to a free process, starting one where there is none; see `Crew.give`."""
        most_mb = self._memory_mb if alone else self._share_mb
        while True:
            worker = next((one for one in self._workers if one.job is None), None) or self._start()
            try:
                worker.pipe.send((job, self._threads, ahead, most_mb))
            except OSError:
                # It was killed while it had nothing to do.
                self._lost(worker)
                continue
            worker.job = job
            return

    def wait(self, timeout_s: float) -> list[JobEvent]:
        """Return what the processes said, and what became of those that ended."""
        by_pipe = {worker.pipe: worker for worker in self._workers}
        events: list[JobEvent] = []
        for pipe in wait(list(by_pipe), timeout_s):
            events += self._read(by_pipe[pipe])
        return events

    def drop(self) -> None:
        """Ask every process to drop its image at the next tile."""
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.pipe.send(None)

    def kill(self) -> None:
        """End all processes at once: running images come back from `wait` as failed with class ``killed``."""
        for worker in self._workers:
            worker.process.kill()

    def close(self) -> None:
        """End all processes: at their next tile, or by force where that takes too long."""
        self.drop()
        for worker in self._workers:
            worker.pipe.close()
        for worker in self._workers:
            self._end(worker)
        self._workers.clear()

    @property
    def _share_mb(self) -> float | None:
        return None if self._memory_mb is None else self._memory_mb / self._processes

    def pids(self) -> list[int]:
        """Return the process ids of the workers."""
        return [worker.process.pid or 0 for worker in self._workers]

    def _start(self) -> _Worker:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_work, args=(there, self._processes), daemon=True)
        with _sigint_ignored():
            process.start()
        # The copy in this process would keep the pipe open after the worker died.
        there.close()
        worker = _Worker(process, here)
        self._workers.append(worker)
        return worker

    def _read(self, worker: _Worker) -> list[JobEvent]:
        """Return all that a worker has said, and its end."""
        events: list[JobEvent] = []
        try:
            while worker.pipe.poll():
                events.append(worker.pipe.recv())
        except (EOFError, OSError):
            return events + self._lost(worker)
        if any(event.kind in ("finished", "dropped") for event in events):
            worker.job = None
            if self._share_mb is not None and events[-1].rss_mb > self._share_mb / 2:
                self._workers.remove(worker)
                self._end(worker)
        return events

    def _lost(self, worker: _Worker) -> list[JobEvent]:
        self._workers.remove(worker)
        worker.process.join()
        worker.pipe.close()
        if worker.job is None:
            return []
        code = worker.process.exitcode or 0
        result = failed_result(
            worker.job,
            f"The worker process died while this image was being scored ({_end_of(code)}), most often for lack of "
            "memory. Run again with fewer --workers; finished images are kept.",
            # With an exit code of its own it ended by an error, which it has shown.
            failure="killed" if code < 0 else "unexpected",
        )
        return [JobEvent("finished", result.image, result.name, result=result)]

    def _end(self, worker: _Worker) -> None:
        worker.pipe.close()
        worker.process.join(_END_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _end_of(exit_code: int) -> str:
    names = {one.value: one.name for one in signal.Signals}
    return f"exit code {exit_code}" if exit_code >= 0 else names.get(-exit_code, f"signal {-exit_code}")


@contextlib.contextmanager
def _sigint_ignored() -> Iterator[None]:
    """Ignore Ctrl-C while children start: a terminal sends it to them too, but this process stops them in order."""
    # Signal handlers can be set in the main thread only; elsewhere no Ctrl-C arrives.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# --- in the worker process


def _work(pipe: Any, processes: int) -> None:
    """Do the jobs that come through the pipe, until it closes."""
    # Set before torch is loaded, or each of the processes would start a thread for every core.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    for one in _FOR_THE_DRIVER:
        signal.signal(one, signal.SIG_IGN)
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            return
        # A wish to drop the image that came when it was finished already.
        if message is None:
            continue
        job, threads, ahead, most_mb = message
        _bind_memory(most_mb)
        try:
            with read_ahead(ahead):
                event = _perform(job, threads, pipe)
            _say(pipe, event)
        except _DriverGone:
            # And with it everybody who would want more images.
            return


class _DriverGone(KeyboardInterrupt):
    """The other end of the pipe is closed; like a cancel, it ends whatever is done."""


def _say(pipe: Any, event: JobEvent) -> None:
    try:
        pipe.send(event)
    except OSError as error:
        raise _DriverGone from error


def _perform(job: Job, threads: int, pipe: Any) -> JobEvent:
    _say(pipe, JobEvent("started", job.image, job.name))

    def progress(done: int, total: int, n_cells: int) -> None:
        # Cancelled between two tiles, where nothing is half written; so does a driver that was killed.
        try:
            is_dropped = pipe.poll() and pipe.recv() is None
        except (EOFError, OSError):
            is_dropped = True
        _say(pipe, JobEvent("tiles", job.image, job.name, done, total, n_cells))
        if is_dropped:
            raise KeyboardInterrupt

    return end_of(job, progress=progress, threads=threads)


def _bind_memory(most_mb: float | None) -> None:
    """Let allocations beyond a limit fail, where the system can: then an image fails, and not the machine."""
    if most_mb is None or sys.platform == "win32":
        return
    import resource

    # Private writable memory, so that neither libraries nor files read through the cache count.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (int(most_mb * 1e6), hard))
