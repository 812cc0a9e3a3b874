"""By cells and a guideline: an image's measured cells, and what a guideline makes of them.

The two halves are apart because the second needs no pixels: a run's cells keep what their facts are cut from, so that
another guideline, other case data or other limits take moments.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.cells.measure import measure_cells
from qupath_her2.cells.membrane.grading import Estimates, GradingSettings, grade
from qupath_her2.cells.membrane.measurements import stored_estimates
from qupath_her2.errors import ExchangeError
from qupath_her2.provenance import cell_uuids, is_ours, ours
from qupath_her2.records import NOT_MEASURED
from qupath_her2.report.stored import stored_regions
from qupath_her2.runs.cell_sources import network_on
from qupath_her2.runs.image_setup import Ground, refused_outcome, whole_tissue_uuid
from qupath_her2.runs.write_run import Outcome
from qupath_her2.scoring.aggregate import score_cells
from qupath_her2.slides.stains.vectors import StainVectors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from qupath_her2.provenance import RunRecord
    from qupath_her2.records import CaseInfo, CellTable, Refusal, Region, SlideScore
    from qupath_her2.runs.inputs import Inputs
    from qupath_her2.runs.score_image import ScoreJob
    from qupath_her2.scoring.aggregate import ScoringSettings
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["Measurement", "load_measurement", "measure_image", "score_measurement"]

#: Refusals of the scoring room: other limits or another guideline may lift them. None is a score.
_SCORED_AGAIN = (None, "too_few_cells", "tma_cores")


@dataclass(frozen=True, slots=True)
class Measurement:
    """The measured cells of an image, before any guideline.

    Attributes
    ----------
    table
        The cells; their class and, where we found them, their UUIDs are still to come.
    estimates, grading
        What intensity and pattern of each cell are cut from, and where.
    regions
        The scored regions that the table's `region` column indexes.
    drawn_regions
        All regions, for the picture.
    pixel_size_um
        µm per level-0 pixel.
    by_core
        Each region is a TMA core with a score of its own.
    stains, refusal, warnings, timings_s
        As in `Outcome`.
    """

    table: CellTable
    estimates: Estimates
    grading: GradingSettings
    regions: tuple[Region, ...]
    drawn_regions: tuple[Region, ...]
    pixel_size_um: float
    by_core: bool
    stains: StainVectors
    refusal: Refusal | None = None
    warnings: tuple[str, ...] = ()
    timings_s: dict[str, float] | None = None


def measure_image(
    job: ScoreJob,
    slide: Slide,
    inputs: Inputs,
    *,
    progress: Callable[[int, int, int], None] | None,
    threads: int,
) -> Outcome:
    """Measure the cells of an image and score them; an image that must not be measured says why.

    Parameters
    ----------
    job, slide, inputs
        From `gather_inputs`.
    progress
        Called with tiles done, tiles in all, cells so far.
    threads
        Threads for this image.
    """
    ground = Ground(job, slide, inputs)
    if ground.refusal is not None or inputs.pixel_size_um is None:
        return refused_outcome(job, ground)
    start = time.monotonic()
    found = measure_cells(
        slide,
        ground.regions,
        pixel_size_um=inputs.pixel_size_um,
        stains=ground.stains,
        settings=job.settings.cells,
        existing=inputs.region_file.existing_cells if job.cells == "from-regions" else None,
        classes=None if inputs.card is None else network_on(job, inputs.card, slide, inputs.pixel_size_um),
        network=job.settings.network_cells,
        workers=threads,
        progress=progress,
    )
    measurement = Measurement(
        table=found.table,
        estimates=found.estimates,
        grading=found.grading,
        regions=tuple(found.scored_regions),
        drawn_regions=ground.regions,
        pixel_size_um=inputs.pixel_size_um,
        by_core=inputs.by_core,
        stains=ground.stains,
        refusal=found.refusal,
        warnings=(*ground.warnings, *_file_warnings(inputs), *found.warnings),
        timings_s={"cells": round(time.monotonic() - start, 3)},
    )
    return score_measurement(
        measurement, case=job.ref.case, scoring=job.settings.scoring, input_hash=inputs.hash
    )


def score_measurement(
    measurement: Measurement, *, case: CaseInfo, scoring: ScoringSettings, input_hash: str
) -> Outcome:
    """Score measured cells by the guideline of `scoring` and `case`, and give our own cells their UUIDs."""
    m = measurement
    start = time.monotonic()

    def regrade(shift: float) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        return grade(m.estimates, m.grading, shift)

    # The region that we made ourselves belongs to this run, and says so by its UUID as our cells do.
    regions = tuple(
        replace(region, uuid=whole_tissue_uuid(input_hash)) if is_ours(region.uuid) else region
        for region in m.regions
    )
    intensity, pattern = regrade(0.0)
    classes, score = score_cells(
        intensity,
        pattern,
        m.table.region,
        [str(region.uuid) for region in regions],
        case=case,
        settings=replace(scoring, pool_regions=False) if m.by_core else scoring,
        centroid_xy_um=m.table.centroid_xy * m.pixel_size_um,
        refusal=m.refusal,
        regrade=regrade,
        warnings=m.warnings,
    )
    uuid = m.table.uuid.copy()
    # Cells that people brought keep their own identity; a table of ours has all-zero or our tagged UUIDs.
    mine = ours(uuid) | ~uuid.any(axis=1)
    uuid[mine] = cell_uuids(input_hash, int(mine.sum()))
    return Outcome(
        score=score,
        table=replace(m.table, cell_class=classes, uuid=uuid),
        regions=regions,
        drawn_regions=m.drawn_regions,
        stains=m.stains,
        warnings=m.warnings,
        timings_s={**(m.timings_s or {}), "score": round(time.monotonic() - start, 3)},
        by_core=m.by_core,
    )


def load_measurement(
    run_dir: Path, record: RunRecord, table: CellTable | None, score: SlideScore
) -> Measurement | None:
    """Return the measured cells that a run keeps; None where it keeps none: refused, or scored otherwise.

    Raises
    ------
    ExchangeError
        The run's files do not fit together.
    """
    if table is None or not len(table) or score.refusal_code not in _SCORED_AGAIN:
        return None
    try:
        used = record.settings["used"]
        measurement = Measurement(
            table=replace(table, cell_class=np.full(len(table), NOT_MEASURED, np.uint8)),
            estimates=stored_estimates(table),
            grading=GradingSettings(**record.settings["cells"]["grading"]),
            regions=stored_regions(run_dir, record),
            drawn_regions=stored_regions(run_dir, record),
            pixel_size_um=float(record.image["pixel_size_um"]),
            by_core=bool(used["by_core"]),
            stains=_stain_vectors(used["stains"]),
            warnings=record.warnings,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExchangeError(
            f"'{run_dir}' is damaged ({error}). Score the image again with --force."
        ) from error
    return measurement


def _stain_vectors(stored: dict[str, Any]) -> StainVectors:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()
    }
    return StainVectors(**values)


def _file_warnings(inputs: Inputs) -> list[str]:
    """Say that features were set aside; all of them stand in ``run.json`` and in `qupath-her2 regions`."""
    n = len(inputs.region_file.quarantined)
    if n == 0:
        return []
    first = inputs.region_file.quarantined[0]
    return [
        f"{n} feature{'s' if n > 1 else ''} of the region file set aside, "
        f"the first: feature {first.index} ({first.id or 'no id'}) {first.reason}."
    ]
