"""Embedding of one image as a job of a batch: the features of its tissue, in a file of their own."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qupath_her2.batch.job import at_half_load, half_batches, image_file, perform
from qupath_her2.batch.plan import key_parts
from qupath_her2.errors import Her2Error
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.records import ImageResult
from qupath_her2.runs.failures import failure_class
from qupath_her2.runs.score_image import failed_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qupath_her2.config import Settings
    from qupath_her2.patches.datasets.sources import SourceImage
    from qupath_her2.runs.types import Progress

__all__ = ["EmbedJob"]


@dataclass(frozen=True, slots=True)
class EmbedJob:
    """One image to embed.

    Attributes
    ----------
    source
        The image.
    out
        Folder of the feature files.
    settings
        Encoder, patches and tissue in ``embed``, device and batches in ``predict``.
    weights
        See `models.encoders.load_encoder`.
    force
        Embed again what is up to date.
    """

    source: SourceImage
    out: Path
    settings: Settings
    weights: str = "pretrained"
    force: bool = False

    @property
    def image(self) -> str:
        """Id of the image."""
        return self.source.id

    @property
    def name(self) -> str:
        """The file name that people know."""
        return self.source.name


# The encoder is loaded once in each worker; a batch has one.
@functools.lru_cache(maxsize=1)
def _encoder(name: str, weights: str, seed: int) -> Any:
    from qupath_her2.models.encoders import load_encoder

    return load_encoder(name, weights, seed=seed)


@perform.register(EmbedJob)
def _embed(job: EmbedJob, *, progress: Progress | None = None, threads: int = 1) -> ImageResult:
    from qupath_her2.training.bags.embed_images import embed_one

    start = time.monotonic()
    tell = None if progress is None else (lambda done, total: progress(done, total, 0))
    try:
        s = job.settings
        encoder = _encoder(s.embed.encoder, job.weights, s.patches.seed)
        with lock_image(job.out, job.image):
            slide = embed_one(job.source, s, job.out, encoder, force=job.force, progress=tell)
    except Her2Error as error:
        return failed_result(job, str(error), time.monotonic() - start, failure_class(error))
    seconds = time.monotonic() - start
    if slide is None:
        return ImageResult(job.image, job.name, "up to date", seconds=seconds)
    return ImageResult(job.image, job.name, "embedded", seconds=seconds, timings_s={"network": seconds})


@key_parts.register(EmbedJob)
def _embed_parts(job: EmbedJob, digest: Callable[[Any], str]) -> list[Any]:
    parts: list[Any] = [digest(job.settings.embed), digest(job.settings.tissue), job.weights]
    return [*parts, job.source.pixel_size_um, *([time.time_ns()] if job.force else [])]


@at_half_load.register(EmbedJob)
def _half(job: EmbedJob) -> EmbedJob:
    return replace(job, settings=half_batches(job.settings))


@image_file.register(EmbedJob)
def _file(job: EmbedJob) -> Path:
    return job.source.path
