"""Local executor: jobs run in this process or in worker processes of this machine.

Workers are started by spawn on every system, never by fork: a forked copy of a process whose threads hold the locks of
an image library can hang forever.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from qupath_her2.runs.options import ScoreJob
from qupath_her2.runs.score_image import failed_result, score_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from qupath_her2.records import ImageResult

__all__ = ["JobEvent", "run_jobs"]


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Progress of one image.

    Attributes
    ----------
    kind
        ``started``, ``tiles`` (more tiles are done) or ``finished``.
    image
        Folder name of the image in the exchange folder.
    name
        The file name that people know.
    done_tiles, total_tiles, n_cells
        Progress, for ``tiles``.
    result
        Result, for ``finished``.
    """

    kind: Literal["started", "tiles", "finished"]
    image: str
    name: str
    done_tiles: int = 0
    total_tiles: int = 0
    n_cells: int = 0
    result: ImageResult | None = None


# Set once when a worker process starts: queues and events cannot be pickled with each job.
_worker_events: Any = None
_worker_cancel: Any = None


def run_jobs(
    jobs: Sequence[ScoreJob], *, workers: int = 1, listen: Callable[[JobEvent], None] | None = None
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
    processes = max(1, min(workers, len(jobs)))
    threads = max(1, workers // processes)
    if processes == 1:
        return [_run_here(job, tell, threads) for job in jobs]
    return _run_in_pool(jobs, tell, processes, threads)


def _ignore(event: JobEvent) -> None:
    """Discard an event."""


def _run_here(job: ScoreJob, tell: Callable[[JobEvent], None], threads: int) -> ImageResult:
    tell(JobEvent("started", job.image, job.name))

    def progress(done: int, total: int, n_cells: int) -> None:
        tell(JobEvent("tiles", job.image, job.name, done, total, n_cells))

    result = score_image(job, progress=progress, threads=threads)
    tell(JobEvent("finished", job.image, job.name, n_cells=result.n_cells, result=result))
    return result


def _run_in_pool(
    jobs: Sequence[ScoreJob], tell: Callable[[JobEvent], None], processes: int, threads: int
) -> list[ImageResult]:
    context = multiprocessing.get_context("spawn")
    events, cancel = context.Queue(), context.Event()
    results: dict[int, ImageResult] = {}
    pool = ProcessPoolExecutor(
        processes, mp_context=context, initializer=_start_worker, initargs=(events, cancel, processes)
    )
    with pool:
        with _sigint_ignored():
            futures: dict[Future[ImageResult], int] = {
                pool.submit(_run_in_worker, job, threads): number for number, job in enumerate(jobs)
            }
        try:
            pending = set(futures)
            # Polled, not awaited: events must reach the progress bar while images are being measured.
            while pending:
                finished, pending = wait(pending, timeout=0.1)
                _drain(events, tell)
                for future in finished:
                    number = futures[future]
                    results[number] = _result_of(future, jobs[number])
                    job = jobs[number]
                    tell(JobEvent("finished", job.image, job.name, result=results[number]))
        # Not to swallow it, but to stop the workers first: a cancelled run must not leave processes behind.
        except BaseException:
            cancel.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [results[number] for number in range(len(jobs))]


def _result_of(future: Future[ImageResult], job: ScoreJob) -> ImageResult:
    try:
        return future.result()
    except BrokenProcessPool:
        # One killed worker breaks the whole pool, so this is told for every image that was not finished.
        return failed_result(
            job,
            "A worker process died while this image was waiting or being scored, most often for lack of memory. "
            "Run again with fewer --workers; finished images are kept.",
        )


def _drain(events: Any, tell: Callable[[JobEvent], None]) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            tell(events.get_nowait())


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


def _start_worker(events: Any, cancel: Any, processes: int) -> None:
    global _worker_events, _worker_cancel
    # Set before torch is loaded, or each of the processes would start a thread for every core.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    _worker_events, _worker_cancel = events, cancel
    # Cancelled through the event, between two tiles, where nothing is half written.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_in_worker(job: ScoreJob, threads: int) -> ImageResult:
    _worker_events.put(JobEvent("started", job.image, job.name))

    def progress(done: int, total: int, n_cells: int) -> None:
        if _worker_cancel.is_set():
            raise KeyboardInterrupt
        _worker_events.put(JobEvent("tiles", job.image, job.name, done, total, n_cells))

    return score_image(job, progress=progress, threads=threads)
