"""One image, one idempotent job: `score_image` is what every batch engine launches.

A job killed at any point is redone or skipped, never half there: its run appears whole or not at all
(`project.exchange.runs`), and the image's lock keeps two workers apart.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qupath_her2.config import Settings
from qupath_her2.errors import ExchangeError, Her2Error
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.runs import current_run, read_record, read_run, up_to_date
from qupath_her2.project.exchange.score_files import read_score
from qupath_her2.records import ImageResult, SlideRef
from qupath_her2.runs.image_setup import unopened_outcome
from qupath_her2.runs.inputs import Inputs, gather_inputs, unopened_inputs
from qupath_her2.runs.methods.cells import load_measurement, measure_image, score_measurement
from qupath_her2.runs.methods.indicators import measure_indicators
from qupath_her2.runs.methods.patches import measure_network
from qupath_her2.runs.write_run import Outcome, add_geojson, write_run
from qupath_her2.slides.readers.view import open_image
from qupath_her2.slides.stains.vectors import StainVectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from qupath_her2.project.exchange.locks import ImageLock
    from qupath_her2.scoring.indicators.ranges import IndicatorRanges

__all__ = ["ScoreJob", "failed_result", "score_image", "unchanged_result"]

_TOUCH_AFTER_S = 60.0


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """Everything that scoring one image needs; picklable.

    Attributes
    ----------
    ref
        The image, its region file, its case, and QuPath's pixel size where known.
    out
        The exchange folder.
    settings
        Of all rooms.
    stains
        Vectors for this image; the colour of its glass is still its own unless they are QuPath's.
    pixel_size_um
        The user's value; wins over QuPath's and the file's.
    whole_tissue
        Score all tissue where there is no tumour region.
    cells
        Find cells, measure those of the region file, or let a network find them.
    method
        Score cells by a guideline, or the image by the published indicators, or let a network predict its
        patches.
    checkpoint
        Of the network that predicts patches, finds cells, or finds the tumour for the indicators; path without
        suffix.
    head
        File of a head over patch counts, which then names the image's class; None lets the patches vote.
    keep_controls
        Measure pieces that look like control tissue too (indicators over the whole tissue).
    ranges
        Decision table of the indicators; None takes the published one.
    force
        Redo what is up to date.
    geojson
        Also write ``cells.geojson.gz``.
    command
        As typed, for ``run.json``.
    debug
        Let errors through with their traceback.
    """

    ref: SlideRef
    out: Path
    settings: Settings = field(default_factory=Settings)
    stains: StainVectors | None = None
    pixel_size_um: float | None = None
    whole_tissue: bool = False
    cells: Literal["detect", "from-regions", "network"] = "detect"
    method: Literal["cells", "indicators", "network"] = "cells"
    checkpoint: Path | None = None
    head: Path | None = None
    keep_controls: bool = False
    ranges: IndicatorRanges | None = None
    force: bool = False
    geojson: bool = False
    command: tuple[str, ...] = ()
    debug: bool = False

    @property
    def image(self) -> str:
        """The image's folder name in the exchange folder."""
        return self.ref.id

    @property
    def name(self) -> str:
        """The file name that people know."""
        return self.ref.name


def score_image(
    job: ScoreJob, *, progress: Callable[[int, int, int], None] | None = None, threads: int = 1
) -> ImageResult:
    """Score one image and leave a finished run in the exchange folder, or nothing.

    Parameters
    ----------
    job
        What to score and how.
    progress
        Called with tiles done, tiles in all, cells so far; may raise KeyboardInterrupt to cancel.
    threads
        Threads for this image; the result does not depend on it.

    Returns
    -------
    ImageResult
        ``scored``, ``not assessable`` (a result too), ``up to date`` or ``failed`` with its
        message.
    """
    start = time.monotonic()
    try:
        return _score_image(job, progress, threads, start)
    except Her2Error as error:
        if job.debug:
            raise
        return failed_result(job, str(error), time.monotonic() - start)
    except Exception as error:
        # The one broad except of this package: in a batch of a thousand slides one surprise must cost one
        # slide. Nothing is swallowed: the image is reported as failed, and --debug lets the traceback
        # through.
        if job.debug:
            raise
        text = f"unexpected {type(error).__name__}: {error}. Please report it with the output of --debug."
        return failed_result(job, text, time.monotonic() - start)


def failed_result(job: ScoreJob, message: str, seconds: float = 0.0) -> ImageResult:
    """Return the result of an image that could not be scored."""
    return ImageResult(job.image, job.name, "failed", error=message, seconds=seconds)


def _score_image(
    job: ScoreJob, progress: Callable[[int, int, int], None] | None, threads: int, start: float
) -> ImageResult:
    if job.ref.refusal is not None:
        return _refuse(job, start)
    with open_image(job.ref) as slide, lock_image(job.out, job.image) as lock:
        inputs = gather_inputs(job, slide)
        tell = _alive(lock, progress)
        done = None if job.force else up_to_date(job.out, job.image, inputs.hash)
        if done is not None:
            if job.geojson:
                done = add_geojson(lock, done)
            return unchanged_result(job, done, time.monotonic() - start)
        outcome = None if job.force else _from_stored(job, inputs)
        if outcome is None and job.method == "cells":
            outcome = measure_image(job, slide, inputs, progress=tell, threads=threads)
        elif outcome is None:
            measure = measure_network if job.method == "network" else measure_indicators
            outcome = measure(job, slide, inputs, progress=tell)
        run_dir = write_run(job, lock, slide, inputs, outcome, seconds=time.monotonic() - start)
    return _result(job, outcome, run_dir, start)


def _refuse(job: ScoreJob, start: float) -> ImageResult:
    """Leave a run that says why the image could not be scored; it was not opened."""
    inputs = unopened_inputs(job)
    with lock_image(job.out, job.image) as lock:
        done = None if job.force else up_to_date(job.out, job.image, inputs.hash)
        if done is not None:
            return unchanged_result(job, done, time.monotonic() - start)
        outcome = unopened_outcome(job)
        run_dir = write_run(job, lock, None, inputs, outcome, seconds=time.monotonic() - start)
    return _result(job, outcome, run_dir, start)


def _result(job: ScoreJob, outcome: Outcome, run_dir: Path, start: float) -> ImageResult:
    return ImageResult(
        job.image,
        job.name,
        outcome.score.status,
        run_dir=run_dir,
        score=outcome.score,
        n_cells=outcome.score.n_cells,
        seconds=time.monotonic() - start,
    )


def _alive(
    lock: ImageLock, progress: Callable[[int, int, int], None] | None
) -> Callable[[int, int, int], None]:
    """Return a `progress` that also keeps the lock fresh, or another machine would take a slow slide over."""
    touched = time.monotonic()

    def tell(done: int, total: int, n_cells: int) -> None:
        nonlocal touched
        if time.monotonic() - touched > _TOUCH_AFTER_S:
            lock.touch()
            touched = time.monotonic()
        if progress is not None:
            progress(done, total, n_cells)

    return tell


def _from_stored(job: ScoreJob, inputs: Inputs) -> Outcome | None:
    """Return the outcome from cells that the run that counts has measured already; None where it has not."""
    try:
        run_dir = current_run(job.out, job.image)
        if run_dir is None or read_record(run_dir).inputs.get("measurement") != inputs.measurement_hash:
            return None
        record, table, score = read_run(run_dir)
    except ExchangeError:
        # A damaged former run is no reason not to make a sound one.
        return None
    measurement = load_measurement(run_dir, record, table, score)
    if measurement is None:
        return None
    if not inputs.whole_tissue:
        measurement = replace(measurement, drawn_regions=inputs.regions)
    return score_measurement(
        measurement, case=job.ref.case, scoring=job.settings.scoring, input_hash=inputs.hash
    )


def unchanged_result(job: ScoreJob, run_dir: Path, seconds: float) -> ImageResult:
    """Return the result of an image whose finished run still holds."""
    score = read_score((run_dir / "score.json").read_bytes())
    return ImageResult(
        job.image,
        job.name,
        "up to date",
        run_dir=run_dir,
        score=score,
        n_cells=score.n_cells,
        seconds=seconds,
    )
