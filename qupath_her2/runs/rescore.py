"""Rescoring: stored cells are scored by another guideline, other case data or other limits, without pixels."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qupath_her2.config import settings_as_dict
from qupath_her2.errors import ExchangeError, Her2Error, ImageReadError
from qupath_her2.project.exchange.locks import lock_image
from qupath_her2.project.exchange.runs import current_run, find_run, new_run, read_run
from qupath_her2.records import ImageResult
from qupath_her2.runs.earlier_score import changed_guideline
from qupath_her2.runs.failures import failure_class
from qupath_her2.runs.guideline_choice import with_guideline
from qupath_her2.runs.inputs import scoring_hash
from qupath_her2.runs.methods.cells import load_measured_cells, score_measured_cells
from qupath_her2.runs.options import RunOptions, ScoreJob
from qupath_her2.runs.plan import (
    Plan,
    check_guideline,
    exchange_folder,
    select_images,
)
from qupath_her2.runs.score_image import failed_result, unchanged_result
from qupath_her2.runs.write_run import CELLS_GEOJSON, cell_counts, write_files
from qupath_her2.slides.readers.view import open_image

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.config import Settings
    from qupath_her2.project.exchange.run_record import RunRecord
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["rescore_folder", "rescore_image"]


def rescore_folder(folder: Path, options: RunOptions, settings: Settings) -> tuple[Plan, list[ImageResult]]:
    """Score the stored cells of a folder's images again.

    Parameters
    ----------
    folder
        Folder of images, or a pulled project.
    options
        Options of the run; only images, exchange folder, case, GeoJSON, command and debug are used.
    settings
        Guideline and limits.

    Returns
    -------
    tuple[Plan, list[ImageResult]]
        The jobs and their results, in the same order.

    Raises
    ------
    Her2Error
        No image matches, or the folder holds no measured cells at all.
    """
    check_guideline(options, settings)
    out = exchange_folder(folder, options.out)
    if not (out / "results").is_dir():
        raise ExchangeError(f"There are no measured cells in '{out}'. Run first: qupath-her2 run FOLDER.")
    # Every image gets a job, also those never measured: they are reported as failed rather than left out.
    jobs = tuple(
        ScoreJob(ref=ref, out=out, settings=of_image, options=options)
        for ref, of_image in (
            with_guideline(ref, options, settings)
            for ref in select_images(folder, options.images, options.out)
        )
    )
    return Plan(out, jobs), [rescore_image(job) for job in jobs]


def rescore_image(job: ScoreJob) -> ImageResult:
    """Score the stored cells of one image again; its pixels are read for the new overlay only.

    Parameters
    ----------
    job
        The image with guideline, limits and case.

    Returns
    -------
    ImageResult
        ``up to date`` where nothing would change, also for an image that was refused or scored by another method;
        ``failed`` where no cells are stored.
    """
    start = time.monotonic()
    try:
        return _rescore(job, start)
    except Her2Error as error:
        if job.options.debug:
            raise
        return failed_result(job, str(error), time.monotonic() - start, failure_class(error))


def _rescore(job: ScoreJob, start: float) -> ImageResult:
    run_dir = current_run(job.out, job.image)
    if run_dir is None:
        raise ExchangeError(f"Image '{job.name}' has no measured cells. Run first: qupath-her2 run FOLDER.")
    with lock_image(job.out, job.image) as lock:
        record, table, score = read_run(run_dir)
        loaded = load_measured_cells(run_dir, record, table, score)
        # The same hash as a run with pixels would have: its result, if there is one, is found and kept.
        new_hash = scoring_hash(
            record.inputs.get("measurement", ""),
            job.settings.scoring,
            job.ref.case,
            record.inputs.get("corrections", ""),
        )
        done = run_dir if loaded is None else find_run(job.out, job.image, new_hash)
        if loaded is None or done is not None:
            unchanged = unchanged_result(job, done or run_dir, time.monotonic() - start)
            return replace(unchanged, earlier=changed_guideline(score, unchanged.score or score))
        cells, context = loaded
        finished = score_measured_cells(
            cells, context, case=job.ref.case, scoring=job.settings.scoring, input_hash=new_hash
        )
        # Only the scoring settings change; how the cells were measured stays as it was recorded.
        changed: dict[str, Any] = {"scoring": settings_as_dict(job.settings)["scoring"]}
        with new_run(lock, new_hash) as writer, _OverlayImage(job, record) as picture:
            # A run that had its cells as GeoJSON keeps them: people may have tools that read that file.
            geojson = job.options.geojson or CELLS_GEOJSON in record.files
            write_files(writer, finished, picture.slide, geojson=geojson)
            writer.finish(
                replace(
                    record,
                    input_hash=new_hash,
                    image={**record.image, "case": job.ref.case},
                    command=job.options.command,
                    settings={**record.settings, **changed},
                    counts=cell_counts(finished),
                    timings_s={**finished.timings_s, "total": round(time.monotonic() - start, 3)},
                    warnings=(*finished.context.warnings, *picture.warnings),
                )
            )
    return ImageResult(
        job.image,
        job.name,
        finished.score.status,
        run_dir=writer.final,
        score=finished.score,
        n_cells=finished.score.n_cells,
        seconds=time.monotonic() - start,
        earlier=changed_guideline(score, finished.score),
    )


class _OverlayImage:
    """The image for the overlay if it can be opened, else a warning.

    Slides are often archived after scoring; the score must not depend on them.
    """

    def __init__(self, job: ScoreJob, record: RunRecord) -> None:
        # Of a file with several pictures, the one whose cells are stored.
        self._ref = replace(job.ref, chain=tuple(record.image.get("chain") or ()))
        self.slide: Slide | None = None
        self.warnings: tuple[str, ...] = ()

    def __enter__(self) -> _OverlayImage:
        try:
            self.slide = open_image(self._ref)
        except ImageReadError as error:
            self.warnings = (f"No overlay was drawn: {error}",)
        return self

    def __exit__(self, *_: object) -> None:
        if self.slide is not None:
            self.slide.close()
