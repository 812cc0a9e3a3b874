"""The end of a batch: tables and report of all images, those without a result included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qupath_her2.batch.run_batch import failed_images
from qupath_her2.project.exchange.images import exchange_root
from qupath_her2.project.exchange.writing import replace_file
from qupath_her2.project.spreadsheet import csv_bytes
from qupath_her2.report.build import write_tables
from qupath_her2.report.cohort_page import write_cohort_page
from qupath_her2.report.cohort_table import CohortSlide, cohort_csv, cohort_rows, write_parquet
from qupath_her2.review.region_changes import keep_written_regions

if TYPE_CHECKING:
    from pathlib import Path

    from qupath_her2.batch.manifest import ManifestRow
    from qupath_her2.batch.plan import BatchPlan
    from qupath_her2.batch.progress import Progress

__all__ = ["finish_batch", "time_shares"]

_NO_PARQUET = (
    'No cohort.parquet: it needs pyarrow, which is not installed: pip install "qupath-her2[frames]".'
)


def finish_batch(plan: BatchPlan, progress: Progress, *, counts: str = "") -> tuple[Path, tuple[str, ...]]:
    """Write ``summary.csv``, ``regions.csv``, ``cohort.csv``, ``cohort.parquet`` and ``cohort.html``.

    Parameters
    ----------
    plan
        The plan.
    progress
        From `progress_of`.
    counts
        The state of the batch in words, for the page.

    Returns
    -------
    tuple[Path, tuple[str, ...]]
        The page, and notes on what could not be written.
    """
    out = plan.out
    if plan.what == "embed":
        replace_file(out / "embedded.csv", _embedded_csv(plan, progress))
        return out / "embedded.csv", ()
    rows, places = write_tables(out, failed_images(plan, progress))
    planned = {row.ref.id: row for row in plan.rows}
    slides = {row.image: _slide(planned[row.image], progress) for row in rows if row.image in planned}
    table = cohort_rows(rows, places, slides, out)
    replace_file(out / "cohort.csv", cohort_csv(table))
    notes = () if write_parquet(out / "cohort.parquet", table) else (_NO_PARQUET,)
    page = out / "cohort.html"
    write_cohort_page(
        page, table, counts=counts, time_shares=time_shares(progress), notes=(*plan.notes, *notes)
    )
    if plan.what == "score" and exchange_root(out) == out:
        # What people change from now on is a correction.
        keep_written_regions(out, [row.ref for row in plan.rows])
    return page, notes


def _embedded_csv(plan: BatchPlan, progress: Progress) -> bytes:
    """Return the table of an embedding: it has files of features and no scores."""
    missing = failed_images(plan, progress)
    lines = [("image", "file", "status", "failure", "reason", "seconds")]
    for row in sorted(plan.rows, key=lambda row: row.ref.name):
        image = row.ref.id
        outcome = progress.outcomes.get(image)
        failure = row.probe.failure if outcome is None else outcome.failure
        is_there = image not in missing
        lines.append(
            (
                row.ref.name,
                f"{image}.h5" if is_there else "",
                "embedded" if is_there else "failed",
                "" if is_there else failure,
                "" if is_there else missing[image][1],
                "" if outcome is None or not outcome.seconds else f"{outcome.seconds:.1f}",
            )
        )
    return csv_bytes(lines)


def _slide(row: ManifestRow, progress: Progress) -> CohortSlide:
    outcome = progress.outcomes.get(row.ref.id)
    return CohortSlide(
        scanner=row.probe.scanner,
        date=row.probe.scanned,
        stain_kind=row.probe.kind,
        stain_group=row.stain_group,
        area_mm2=row.probe.area_mm2 if row.probe.fingerprint else None,
        seconds=outcome.seconds if outcome is not None and outcome.seconds else None,
        failure=row.probe.failure if outcome is None else outcome.failure,
    )


def time_shares(progress: Progress) -> dict[str, float]:
    """Return {step: share of the time of all workers}; steps of less than half a percent are left out."""
    total = sum(progress.steps_s.values())
    return {
        name: value / total for name, value in progress.steps_s.items() if total and value / total >= 0.005
    }
