"""Scoring one image: the idempotent job that every batch engine launches.

A job killed at any point is redone or skipped, never left half done: its run appears as a whole or not at all
(`project.exchange.runs`), and the image's lock keeps two workers from scoring the same image.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from qupath_her2.errors import ExchangeError, Her2Error
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.runs import (
    current_run,
    find_run,
    read_record,
    read_run,
    set_current,
    stored_score,
)
from qupath_her2.records import ImageResult
from qupath_her2.runs.earlier_score import changed_guideline, earlier_score
from qupath_her2.runs.failures import failure_class
from qupath_her2.runs.image_setup import set_up_image, unopened_image
from qupath_her2.runs.inputs import gather_inputs, unopened_inputs
from qupath_her2.runs.methods.cells import load_measured_cells, score_measured_cells
from qupath_her2.runs.refused_image import refused_image
from qupath_her2.runs.write_run import add_geojson, write_run
from qupath_her2.slides.readers.view import open_image

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.project.exchange.correction_files import CellCorrections
    from qupath_her2.project.exchange.run_record import RunRecord
    from qupath_her2.runs.earlier_score import EarlierScore
    from qupath_her2.runs.failures import FailureClass
    from qupath_her2.runs.options import ScoreJob
    from qupath_her2.runs.types import FinishedImage, Inputs, Job, Progress
    from qupath_her2.slides.readers.slide import Slide
    from qupath_her2.slides.tissue import Tissue

__all__ = ["failed_result", "finished_result", "measure_image", "score_image", "unchanged_result"]


def score_image(job: ScoreJob, *, progress: Progress | None = None, threads: int = 1) -> ImageResult:
    """Score one image and leave a finished run in the exchange folder, or nothing.

    Parameters
    ----------
    job
        The image with its options and settings.
    progress
        Called with tiles done, tiles in total, cells so far; may raise KeyboardInterrupt to cancel.
    threads
        Threads for this image; the result does not depend on their number.

    Returns
    -------
    ImageResult
        ``scored``, ``predicted``, ``not assessable`` (a result too), ``up to date``, or ``failed`` with its message.
    """
    start = time.monotonic()
    try:
        return _score_image(job, progress, threads, start)
    except Her2Error as error:
        if job.options.debug:
            raise
        return failed_result(job, str(error), time.monotonic() - start, failure_class(error))
    except Exception as error:
        # The one broad except of this package: in a batch of a thousand slides an unexpected error may cost one
        # slide only. Nothing is swallowed: the image is reported as failed, and --debug shows the traceback.
        if job.options.debug:
            raise
        text = f"unexpected {type(error).__name__}: {error}. Please report it with the output of --debug."
        return failed_result(job, text, time.monotonic() - start, failure_class(error))


def failed_result(
    job: Job, message: str, seconds: float = 0.0, failure: FailureClass = "unexpected"
) -> ImageResult:
    """Return the result of an image that could not be scored.

    Parameters
    ----------
    job
        The image.
    message
        Reason, for the user.
    seconds
        Time spent on the image.
    failure
        Class of the failure.

    Returns
    -------
    ImageResult
        In the state ``failed``.
    """
    return ImageResult(job.image, job.name, "failed", error=message, seconds=seconds, failure=failure)


def _score_image(job: ScoreJob, progress: Progress | None, threads: int, start: float) -> ImageResult:
    if job.ref.refusal is not None:
        return _refuse(job, start)
    # Opened before it is locked: a missing or broken file then leaves no folder for a result.
    with open_image(job.ref) as slide, lock_image(job.out, job.image) as lock:
        inputs = gather_inputs(job, slide)
        earlier = earlier_score(job, inputs)
        done = _up_to_date(job, inputs, earlier)
        if done is not None:
            if job.options.geojson:
                done = add_geojson(lock, done)
            return _compared(unchanged_result(job, done, time.monotonic() - start), earlier)
        # --force measures again: it is the way out where stored cells are doubted.
        finished = None if job.options.force else _from_stored(job, inputs)
        if finished is None:
            _, finished = measure_image(job, slide, inputs, progress=progress, threads=threads)
        stands = earlier is not None and earlier.stands(finished.score)
        seconds = time.monotonic() - start
        # Readers count it; of whatever else stands in for a slide nothing is known.
        read_s = getattr(slide, "read_s", 0.0)
        run_dir = write_run(job, lock, slide, inputs, finished, seconds=seconds, make_current=not stands)
        steps = {"read": read_s, "write": time.monotonic() - start - seconds}
    return _compared(finished_result(job, finished, run_dir, start, steps), earlier)


def _compared(result: ImageResult, earlier: EarlierScore | None) -> ImageResult:
    """Return a result that says whether the earlier score still counts, and whether the guideline changed."""
    if earlier is None or result.score is None:
        return result
    if earlier.stands(result.score):
        return replace(result, earlier=earlier.left, is_current=False)
    return replace(result, earlier=changed_guideline(earlier.score, result.score))


def measure_image(
    job: ScoreJob,
    slide: Slide,
    inputs: Inputs | None = None,
    *,
    tissue: Tissue | None = None,
    progress: Progress | None = None,
    threads: int = 1,
) -> tuple[Inputs, FinishedImage]:
    """Measure and score an open image; nothing is written.

    Parameters
    ----------
    job
        The image with its options and settings.
    slide
        The open image.
    inputs
        From `gather_inputs`; gathered here where None.
    tissue
        Of the image, where it is known from before.
    progress
        Called with tiles done, tiles in total, cells so far.
    threads
        Threads for this image.

    Returns
    -------
    tuple[Inputs, FinishedImage]
        Everything the result depends on, and the result, which may be a refusal.
    """
    inputs = inputs or gather_inputs(job, slide)
    setup = set_up_image(job, slide, inputs, tissue=tissue)
    if setup.context.refusal is not None:
        return inputs, refused_image(setup.context, job.ref.case, job.settings.scoring)
    return inputs, job.method.measure(setup, progress=progress, threads=threads)


def _up_to_date(job: ScoreJob, inputs: Inputs, earlier: EarlierScore | None) -> Path | None:
    """Return the finished run of these inputs, made current unless the earlier score stands beside it."""
    if job.options.force:
        return None
    done = find_run(job.out, job.image, inputs.hash, make_current=False)
    if done is not None and not (earlier is not None and earlier.stands(stored_score(done))):
        set_current(done)
    return done


def _refuse(job: ScoreJob, start: float) -> ImageResult:
    """Write a run with the reason why QuPath could not export the image; the image is not opened."""
    inputs = unopened_inputs(job)
    with lock_image(job.out, job.image) as lock:
        done = _up_to_date(job, inputs, None)
        if done is not None:
            return unchanged_result(job, done, time.monotonic() - start)
        finished = unopened_image(job)
        run_dir = write_run(job, lock, None, inputs, finished, seconds=time.monotonic() - start)
    return finished_result(job, finished, run_dir, start)


def finished_result(
    job: ScoreJob,
    finished: FinishedImage,
    run_dir: Path,
    start: float,
    steps: dict[str, float] | None = None,
) -> ImageResult:
    """Return the result of an image whose run was written.

    Parameters
    ----------
    job
        The image.
    finished
        What was written.
    run_dir
        Folder of the run.
    start
        ``time.monotonic()`` when work on the image began, seconds.
    steps
        Seconds of further steps, beside those of the method.

    Returns
    -------
    ImageResult
        With the seconds spent so far.
    """
    return ImageResult(
        job.image,
        job.name,
        finished.score.status,
        run_dir=run_dir,
        score=finished.score,
        n_cells=finished.score.n_cells,
        seconds=time.monotonic() - start,
        timings_s={**finished.timings_s, **(steps or {})},
    )


def _from_stored(job: ScoreJob, inputs: Inputs) -> FinishedImage | None:
    """Score the cells stored in the current run; None where they were measured with other inputs."""
    try:
        run_dir = current_run(job.out, job.image)
        if run_dir is None or not _has_same_cells(read_record(run_dir), inputs):
            return None
        record, table, score = read_run(run_dir)
    except ExchangeError:
        # A damaged earlier run must not keep the image from being measured again.
        return None
    loaded = load_measured_cells(run_dir, record, table, score)
    if loaded is None:
        return None
    cells, context = loaded
    # The stored regions list only the scored ones; the overlay also draws the ignored ones of the region file. Regions
    # that stand in for drawn ones exist in the stored run alone.
    stored = context.regions if inputs.whole_tissue else ()
    context = replace(context, regions=(*stored, *inputs.regions))
    return score_measured_cells(
        cells,
        context,
        case=job.ref.case,
        scoring=job.settings.scoring,
        input_hash=inputs.hash,
        corrections=_left_to_apply(record, inputs),
    )


def _has_same_cells(record: RunRecord, inputs: Inputs) -> bool:
    """Return whether the cells of a run can be scored again: measured alike, and not corrected otherwise since."""
    applied = record.inputs.get("corrections")
    now = None if inputs.corrections is None else inputs.corrections.digest
    # Cells that a person deleted are gone from the run's table: taking that back needs the pixels.
    return record.inputs.get("measurement") == inputs.measurement_hash and applied in (None, now)


def _left_to_apply(record: RunRecord, inputs: Inputs) -> CellCorrections | None:
    """Return the corrections that the cells of a run do not follow yet."""
    return None if "corrections" in record.inputs else inputs.corrections


def unchanged_result(job: ScoreJob, run_dir: Path, seconds: float) -> ImageResult:
    """Return the result of an image whose finished run is up to date.

    Parameters
    ----------
    job
        The image.
    run_dir
        Folder of the finished run.
    seconds
        Time spent on the image.

    Returns
    -------
    ImageResult
        In the state ``up to date``, with the score of that run.
    """
    score = stored_score(run_dir)
    return ImageResult(
        job.image,
        job.name,
        "up to date",
        run_dir=run_dir,
        score=score,
        n_cells=score.n_cells,
        seconds=seconds,
    )
