"""A look at an uploaded file in a worker process: whether it opens as a slide, within the limits of the readers.

Files of strangers meet native libraries here; where one of them crashes, it is the worker's process that ends. The
readers check the stated dimensions before they decode anything (`slides.readers.limits`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qupath_her2.batch.job import perform
from qupath_her2.errors import Her2Error
from qupath_her2.project.exchange.image_ids import folder_image_id
from qupath_her2.records import ImageResult, SlideRef
from qupath_her2.runs.failures import failure_class
from qupath_her2.runs.score_image import failed_result
from qupath_her2.slides.readers.view import open_image

if TYPE_CHECKING:
    from qupath_her2.runs.types import Job, Progress

__all__ = ["SlideLook", "failure_in_known_names", "in_known_names"]


@dataclass(frozen=True, slots=True)
class SlideLook:
    """An uploaded file, and the name that people know; picklable."""

    slide: Path
    name: str

    @property
    def image(self) -> str:
        """The slide's folder name in an exchange folder."""
        return folder_image_id(self.name)


@perform.register(SlideLook)
def _look(job: SlideLook, *, progress: Progress | None = None, threads: int = 1) -> ImageResult:
    start = time.monotonic()
    try:
        open_image(SlideRef(job.image, job.name, job.slide)).close()
    except Her2Error as error:
        return failure_in_known_names(job, job.slide, error, start)
    return ImageResult(job.image, job.name, "up to date", seconds=time.monotonic() - start)


def failure_in_known_names(job: Job, slide: Path, error: Her2Error, start: float) -> ImageResult:
    """Return the result of a slide that met an error, told in its sender's words.

    Parameters
    ----------
    job
        The job.
    slide
        Its file.
    error
        What it met.
    start
        ``time.monotonic()`` when work on it began, seconds.

    Returns
    -------
    ImageResult
        In the state ``failed``.
    """
    said = in_known_names(str(error), slide, job.name)
    return failed_result(job, said, time.monotonic() - start, failure_class(error))


def in_known_names(text: str, slide: Path, name: str) -> str:
    """Return a message on a slide by the name that its sender knows, without where it lies on this machine.

    Parameters
    ----------
    text
        The message.
    slide
        The file, which has a name of the service's own where it was uploaded.
    name
        The name that people know.

    Returns
    -------
    str
        The message.
    """
    return text.replace(f" ({slide})", "").replace(str(slide), name).replace(slide.name, name)
