"""Jobs and their progress: one image, what is done with it, and what became of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qupath_her2.batch.allocator import return_freed_memory
from qupath_her2.runs.options import ScoreJob
from qupath_her2.runs.score_image import score_image

if TYPE_CHECKING:
    from qupath_her2.config import Settings
    from qupath_her2.records import ImageResult
    from qupath_her2.runs.types import Job, Progress

__all__ = ["JobEvent", "at_half_load", "end_of", "half_batches", "image_file", "memory_mb", "perform"]


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Progress of one image.

    Attributes
    ----------
    kind
        ``started``, ``tiles`` (more tiles are done), ``finished``, or ``dropped``: given up because the run is to end,
        with nothing left behind.
    image
        Folder name of the image in the exchange folder.
    name
        The file name that people know.
    done_tiles, total_tiles, n_cells
        Progress, for ``tiles``.
    result
        Result, for ``finished``.
    rss_mb, peak_mb
        Memory of the worker process after the image, and the most it ever had, MB; 0 where not measured.
    """

    kind: Literal["started", "tiles", "finished", "dropped"]
    image: str
    name: str
    done_tiles: int = 0
    total_tiles: int = 0
    n_cells: int = 0
    result: ImageResult | None = None
    rss_mb: float = 0.0
    peak_mb: float = 0.0


@functools.singledispatch
def perform(job: Job, *, progress: Progress | None = None, threads: int = 1) -> ImageResult:
    """Do a job: idempotent, whole or not at all, and any failure is its result.

    Parameters
    ----------
    job
        The job; its type says what is done.
    progress
        Called with tiles done, tiles in total, cells so far; may raise KeyboardInterrupt to cancel.
    threads
        Threads for this image; the result does not depend on their number.

    Returns
    -------
    ImageResult
        Never raises but for a cancel, and where the job asks for tracebacks.
    """
    raise TypeError(f"no job: {job!r}")


def end_of(job: Job, *, progress: Progress, threads: int) -> JobEvent:
    """Do a job in a process of its own, and return its end.

    Parameters
    ----------
    job
        The job.
    progress
        Called with tiles done, tiles in total, cells so far; raises KeyboardInterrupt to drop the image.
    threads
        Threads for this image.

    Returns
    -------
    JobEvent
        ``finished``, with the memory of this process, or ``dropped``.
    """
    try:
        result = perform(job, progress=progress, threads=threads)
    except KeyboardInterrupt:
        return JobEvent("dropped", job.image, job.name)
    rss_mb, peak_mb = memory_mb()
    return JobEvent(
        "finished", job.image, job.name, n_cells=result.n_cells, result=result, rss_mb=rss_mb, peak_mb=peak_mb
    )


@perform.register(ScoreJob)
def _score(job: ScoreJob, *, progress: Progress | None = None, threads: int = 1) -> ImageResult:
    return_freed_memory()
    return score_image(job, progress=progress, threads=threads)


@functools.singledispatch
def at_half_load(job: Job) -> Job:
    """Return the job with batches of half the size, for another try after memory ran out; its result is the same."""
    return job


@at_half_load.register(ScoreJob)
def _(job: ScoreJob) -> Job:
    return replace(job, settings=half_batches(job.settings))


def half_batches(settings: Settings) -> Settings:
    """Return settings by which a network takes half as many patches at once."""
    predict = settings.predict
    return replace(settings, predict=replace(predict, batch_size=max(1, predict.batch_size // 2)))


@functools.singledispatch
def image_file(job: Job) -> Path | None:
    """Return the image file of a job, to read it ahead; None where there is none."""
    return None


@image_file.register(ScoreJob)
def _(job: ScoreJob) -> Path:
    return job.ref.path


def memory_mb() -> tuple[float, float]:
    """Return the memory of this process now and at its highest, MB; 0 where the system does not say."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
        lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        rss_kb, peak_kb = (int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM"))
    except (OSError, KeyError, ValueError):
        return 0.0, 0.0
    return rss_kb / 1024, peak_kb / 1024
