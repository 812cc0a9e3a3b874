"""A batch from plan to tables: what has no outcome yet goes to an executor, and the tables list every image."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from qupath_her2.batch.journal import Journal
from qupath_her2.batch.manifest import is_manifest, read_refs
from qupath_her2.batch.plan import (
    PLAN,
    BatchPlan,
    SlideLook,
    load_plan,
    measured_seconds,
    order_rows,
    planned_rows,
    save_plan,
)
from qupath_her2.batch.progress import progress_of
from qupath_her2.errors import ExchangeError
from qupath_her2.project.folder import OUTPUT_NAME, project_folder
from qupath_her2.runs.plan import exchange_folder, plan_jobs, planned_images

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from qupath_her2.batch.executor import Executor
    from qupath_her2.batch.job import JobEvent
    from qupath_her2.batch.progress import Progress
    from qupath_her2.batch.stopping import Stop
    from qupath_her2.config import Settings
    from qupath_her2.records import SlideRef
    from qupath_her2.runs.options import RunOptions
    from qupath_her2.runs.types import Job

__all__ = [
    "batch_folder",
    "failed_images",
    "jobs_left",
    "output_folder",
    "plan_batch",
    "plan_embedding",
    "run_batch",
]


def output_folder(source: Path, out: Path | None) -> Path:
    """Return the output folder of a batch: `out`, or ``her2`` in the project, folder, or beside the list."""
    found = out or (source.parent / OUTPUT_NAME if is_manifest(source) else exchange_folder(source))
    # Workers run elsewhere, in folders of their own.
    return found.absolute()


def batch_folder(named: Path) -> Path:
    """Return the output folder that was named, or the one in the folder of images that was named."""
    inside = project_folder(named) / OUTPUT_NAME
    return inside if not (named / PLAN).is_dir() and (inside / PLAN).is_dir() else named


def plan_batch(
    source: Path,
    options: RunOptions,
    settings: Settings,
    *,
    what: str = "score",
    threads: int = 1,
    listen: Callable[[str], None] | None = None,
) -> BatchPlan:
    """Look at all slides, decide their stain groups, and save the jobs in the order of their work.

    Parameters
    ----------
    source
        A QuPath project, a folder of images, or a list of slides.
    options
        Of the run; its `out` is the output folder.
    settings
        Of all rooms.
    what
        Name of what is done, for the tables.
    threads
        Slides looked at in parallel.
    listen
        Called with a line of text before a step that takes time.

    Returns
    -------
    BatchPlan
        As saved.

    Raises
    ------
    Her2Error
        No image, ambiguous region files, a list that cannot be used, a folder that cannot be written.
    """
    out = output_folder(source, options.out)
    refs, said = read_refs(source) if is_manifest(source) else (None, {})
    look = SlideLook(out, said, threads=threads, anew=options.force, listen=listen)
    options = replace(options, out=out)
    planned = plan_jobs(_folder(source), options, settings, listen=listen, refs=refs, probe=look)
    return _saved(out, what, planned.jobs, {job.image: job.ref for job in planned.jobs}, look, planned.notes)


def plan_embedding(
    source: Path,
    options: RunOptions,
    settings: Settings,
    *,
    weights: str = "pretrained",
    threads: int = 1,
    listen: Callable[[str], None] | None = None,
) -> BatchPlan:
    """Look at all slides, and save the jobs of embedding their tissue.

    Parameters
    ----------
    source
        As for `plan_batch`.
    options
        Its images, pixel size and force; its `out` is the folder of the feature files.
    settings
        As for `plan_batch`.
    weights
        Of the encoder, see `models.encoders.load_encoder`.
    threads, listen
        As for `plan_batch`.

    Returns
    -------
    BatchPlan
        As saved.
    """
    from qupath_her2.batch.embed_job import EmbedJob
    from qupath_her2.patches.datasets.sources import project_source
    from qupath_her2.patches.tasks import TASKS

    out = output_folder(source, options.out)
    folder, choice = _folder(source), settings.images.with_flags(options.series, options.plane)
    listed, said = read_refs(source) if is_manifest(source) else (None, {})
    refs = planned_images(folder, replace(options, out=None), choice, listed)
    look = SlideLook(out, said, threads=threads, anew=options.force, listen=listen)
    look(refs, settings, True)
    # Labels are no matter here; any task reads the images and their cases.
    found = project_source(folder, task=TASKS["her2-4"], refs=refs, pixel_size_um=options.pixel_size_um)
    jobs = [EmbedJob(image, out, settings, weights, options.force) for image in found.images]
    return _saved(out, "embed", jobs, {ref.id: ref for ref in refs}, look, ())


def _folder(source: Path) -> Path:
    return (source.parent if is_manifest(source) else source).absolute()


def _saved(
    out: Path,
    what: str,
    jobs: Sequence[Job],
    refs: Mapping[str, SlideRef],
    look: SlideLook,
    notes: tuple[str, ...],
) -> BatchPlan:
    rows = tuple(order_rows(planned_rows(jobs, refs, look.rows, seconds=_seconds_before(out))))
    by_image = {job.image: job for job in jobs}
    ordered = tuple(by_image[row.ref.id] for row in rows if not row.is_unreadable)
    plan = BatchPlan(out, what, ordered, rows, notes, time.time())
    save_plan(plan)
    return plan


def _seconds_before(out: Path) -> tuple[float, float] | None:
    """Return what slides took in a batch that was begun in this folder."""
    try:
        plan = load_plan(out)
    except ExchangeError:
        return None
    outcomes = progress_of(plan, looks_at_locks=False).outcomes
    took = {
        image: one.seconds for image, one in outcomes.items() if one.state not in ("", "failed", "up to date")
    }
    return measured_seconds(plan.rows, took)


def jobs_left(plan: BatchPlan) -> list[Job]:
    """Return the jobs that have no outcome yet, longest first."""
    outcomes = progress_of(plan, looks_at_locks=False).outcomes
    return [job for job in plan.jobs if not outcomes[job.image].is_final]


def run_batch(
    plan: BatchPlan,
    executor: Executor,
    *,
    retry_failed: bool = False,
    listen: Callable[[JobEvent], None] | None = None,
    stop: Stop | None = None,
) -> bool:
    """Bring what is left of a batch to an outcome.

    Parameters
    ----------
    plan
        The saved plan.
    executor
        The engine.
    retry_failed
        Try images again that were set aside.
    listen
        Called with each event that the engine tells.
    stop
        Asked whether the run is to end.

    Returns
    -------
    bool
        False where the engine goes on after this process.
    """
    if retry_failed:
        _set_back(plan)
    return executor.run(plan, jobs_left(plan), listen=listen or _ignore, stop=stop)


def _set_back(plan: BatchPlan) -> None:
    failed = [
        image for image, one in progress_of(plan, looks_at_locks=False).outcomes.items() if one.is_failed
    ]
    if failed:
        journal = Journal(plan.out, plan.keys, "retry")
        for image in failed:
            journal.set_back(image)


def failed_images(plan: BatchPlan, progress: Progress) -> dict[str, tuple[str, str]]:
    """Return {image: (name, message)} of all images without a result: unreadable, failed, or not ended yet.

    Parameters
    ----------
    plan
        The plan.
    progress
        From `progress_of`.

    Returns
    -------
    dict[str, tuple[str, str]]
        As the tables and the report take it.
    """
    names = {row.ref.id: row.ref.name for row in plan.rows}
    failed = {
        image: (names[image], one.cause if one.is_failed else "Not scored yet: run qupath-her2 batch again.")
        for image, one in progress.outcomes.items()
        if one.is_failed or not one.is_final
    }
    return plan.unreadable | failed


def _ignore(event: JobEvent) -> None:
    """Discard an event."""
