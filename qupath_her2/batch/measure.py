"""From a job's inputs to its outcome, by cells and a guideline."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import shapely

from qupath_her2.batch.outcome import Outcome
from qupath_her2.cells import measure_cells
from qupath_her2.provenance import cell_uuids
from qupath_her2.records import CellTable, Refusal, Region
from qupath_her2.scoring import score_cells
from qupath_her2.slides import QUPATH_H_DAB, find_tissue, tissue_polygons

if TYPE_CHECKING:
    from collections.abc import Callable

    from qupath_her2.batch.inputs import Inputs
    from qupath_her2.batch.job import ScoreJob
    from qupath_her2.slides import Slide, StainVectors, Tissue

__all__ = ["NO_ONE_CHOSE", "Ground", "empty_table", "measure", "refused_outcome"]

#: Said wherever the whole tissue stands in for the tumour: a whole core turns many a 1+ into 0.
NO_ONE_CHOSE = (
    "No one chose the tumour: all tissue was scored, stroma and normal cells included. "
    "Draw Tumor regions for a score of the tumour."
)
#: Running number of the region that stands for all tissue: the last one, which no cell reaches.
_WHOLE_TISSUE_NUMBER = (1 << 32) - 1


class Ground:
    """Where and with what an image is measured: its tissue, regions, stains, or why it must not be."""

    def __init__(self, job: ScoreJob, slide: Slide, inputs: Inputs) -> None:
        self.tissue: Tissue = find_tissue(
            slide, pixel_size_um=inputs.pixel_size_um, settings=job.settings.tissue
        )
        self.stains: StainVectors = _stains(job, self.tissue)
        self.regions: tuple[Region, ...] = inputs.regions
        self.warnings: list[str] = []
        self.refusal: Refusal | None = inputs.refusal
        if inputs.whole_tissue:
            self.warnings.append(NO_ONE_CHOSE)
            whole = _whole_tissue(self.tissue, inputs.hash)
            if whole is None:
                self.refusal = self.refusal or Refusal("no_tissue", "no tissue was found on the glass")
            else:
                self.regions = (whole, *inputs.regions)


def _stains(job: ScoreJob, tissue: Tissue) -> StainVectors:
    """Return the job's vectors with this image's own glass, unless QuPath or the user said the glass too."""
    stains = job.stains or QUPATH_H_DAB
    if stains.source in ("QuPath", "user"):
        return stains
    return replace(stains, background_rgb=tissue.background_rgb)


def _whole_tissue(tissue: Tissue, input_hash: str) -> Region | None:
    pieces = tissue_polygons(tissue)
    if not pieces:
        return None
    shape = pieces[0] if len(pieces) == 1 else shapely.MultiPolygon(pieces)
    number = cell_uuids(input_hash, 1, start=_WHOLE_TISSUE_NUMBER)[0]
    return Region(UUID(bytes=number.tobytes()), shape, "tumour", None, "Whole tissue")


def empty_table() -> CellTable:
    """Return a table without cells."""
    ragged = {"cell_offsets": np.zeros(1, np.int64), "nucleus_offsets": np.zeros(1, np.int64)}
    points = {name: np.empty((0, 2), np.float32) for name in ("centroid_xy", "cell_xy", "nucleus_xy")}
    return CellTable(
        uuid=np.empty((0, 16), np.uint8),
        region=np.empty(0, np.int32),
        measurements=np.empty((0, 0), np.float32),
        measurement_names=(),
        cell_class=np.empty(0, np.uint8),
        **points,
        **ragged,
    )


def measure(
    job: ScoreJob,
    slide: Slide,
    inputs: Inputs,
    *,
    progress: Callable[[int, int, int], None] | None,
    threads: int,
) -> Outcome:
    """Measure and score an image by the job's method.

    Parameters
    ----------
    job, slide, inputs : from `gather_inputs`.
    progress : called with tiles done, tiles in all, cells so far.
    threads : threads for this image.
    """
    if job.method == "indicators":
        from qupath_her2.batch.indicators import measure_indicators

        return measure_indicators(job, slide, inputs, progress=progress)
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
        workers=threads,
        progress=progress,
    )
    measured = time.monotonic()
    scoring = replace(job.settings.scoring, pool_regions=False) if inputs.by_core else job.settings.scoring
    warnings = (*job.notes, *ground.warnings, *_file_warnings(inputs), *found.warnings)
    classes, score = score_cells(
        found.intensity,
        found.pattern,
        found.table.region,
        [str(region.uuid) for region in found.scored_regions],
        case=job.ref.case,
        settings=scoring,
        centroid_xy_um=found.table.centroid_xy * inputs.pixel_size_um,
        refusal=found.refusal,
        regrade=found.regrade,
        warnings=warnings,
    )
    table = replace(found.table, cell_class=classes)
    if job.cells == "detect":
        table = replace(table, uuid=cell_uuids(inputs.hash, len(table)))
    return Outcome(
        score=score,
        table=table,
        regions=tuple(found.scored_regions),
        drawn_regions=ground.regions,
        stains=ground.stains,
        warnings=warnings,
        timings_s={
            "cells": round(measured - start, 3),
            "score": round(time.monotonic() - measured, 3),
        },
    )


def refused_outcome(job: ScoreJob, ground: Ground) -> Outcome:
    """Return the outcome of an image that must not be measured; the reason is the result."""
    nothing = np.empty(0, np.uint8)
    _, score = score_cells(
        nothing,
        nothing,
        np.empty(0, np.int32),
        [],
        case=job.ref.case,
        settings=job.settings.scoring,
        refusal=ground.refusal,
        warnings=(*job.notes, *ground.warnings),
    )
    return Outcome(
        score=score,
        table=empty_table(),
        regions=(),
        drawn_regions=ground.regions,
        stains=ground.stains,
        warnings=(*job.notes, *ground.warnings),
    )


def _file_warnings(inputs: Inputs) -> list[str]:
    """Say that features were set aside; which ones stands in ``run.json`` and in `qupath-her2 regions`."""
    n = len(inputs.region_file.quarantined)
    if n == 0:
        return []
    first = inputs.region_file.quarantined[0]
    return [
        f"{n} feature{'s' if n > 1 else ''} of the region file set aside, "
        f"the first: feature {first.index} ({first.id or 'no id'}) {first.reason}."
    ]
