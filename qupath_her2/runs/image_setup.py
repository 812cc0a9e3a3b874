"""Where and with what an image is measured, or why it must not be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import shapely

from qupath_her2.provenance import cell_uuids
from qupath_her2.records import CellTable, Refusal, Region
from qupath_her2.runs.write_run import Outcome
from qupath_her2.scoring.aggregate import score_cells
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB
from qupath_her2.slides.tissue import find_tissue
from qupath_her2.slides.tissue_outlines import tissue_polygons

if TYPE_CHECKING:
    from qupath_her2.runs.inputs import Inputs
    from qupath_her2.runs.score_image import ScoreJob
    from qupath_her2.slides.readers.slide import Slide
    from qupath_her2.slides.stains.vectors import StainVectors
    from qupath_her2.slides.tissue import Tissue

__all__ = [
    "NO_ONE_CHOSE",
    "Ground",
    "empty_table",
    "refused_outcome",
    "unopened_outcome",
    "whole_tissue_uuid",
]

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
        self.is_whole_tissue = inputs.whole_tissue
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
    return Region(whole_tissue_uuid(input_hash), shape, "tumour", None, "Whole tissue")


def whole_tissue_uuid(input_hash: str) -> UUID:
    """Return the UUID of the region that stands for all tissue in the run of `input_hash`."""
    return UUID(bytes=cell_uuids(input_hash, 1, start=_WHOLE_TISSUE_NUMBER)[0].tobytes())


def empty_table() -> CellTable:
    """Return a table without cells."""
    no_points, no_rings = np.empty((0, 2), np.float32), np.zeros(1, np.int64)
    return CellTable(
        uuid=np.empty((0, 16), np.uint8),
        centroid_xy=no_points,
        cell_xy=no_points,
        cell_offsets=no_rings,
        nucleus_xy=no_points,
        nucleus_offsets=no_rings,
        region=np.empty(0, np.int32),
        measurements=np.empty((0, 0), np.float32),
        measurement_names=(),
        cell_class=np.empty(0, np.uint8),
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
        warnings=tuple(ground.warnings),
    )
    return Outcome(
        score=score,
        table=empty_table(),
        regions=(),
        drawn_regions=ground.regions,
        stains=ground.stains,
        warnings=tuple(ground.warnings),
    )


def unopened_outcome(job: ScoreJob) -> Outcome:
    """Return the outcome of an image that QuPath could not hand over; nothing of it was looked at."""
    nothing = np.empty(0, np.uint8)
    _, score = score_cells(
        nothing,
        nothing,
        np.empty(0, np.int32),
        [],
        case=job.ref.case,
        settings=job.settings.scoring,
        refusal=job.ref.refusal,
        warnings=(),
    )
    return Outcome(score=score, table=empty_table(), regions=(), drawn_regions=(), stains=QUPATH_H_DAB)
