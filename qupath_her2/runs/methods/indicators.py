"""``--method indicators``: a job's image scored by three figures of its patches instead of by its cells.

Che et al. 2023 (doi 10.3390/diagnostics13020263). The tumour is what people outlined, what a network of the recipe
``tumour-resnet34`` finds, or all tissue. Control tissue is left out as detached, much browner pieces, unless people
chose the regions.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import cv2
import numpy as np

from qupath_her2.regions import tumour_mask
from qupath_her2.report.heat import OVERLAYS, Overlay, overlays_json
from qupath_her2.report.pictures import read_overview
from qupath_her2.runs.image_setup import Ground, empty_table, refused_outcome
from qupath_her2.runs.methods.tumour_map import find_tumour
from qupath_her2.runs.write_run import Outcome
from qupath_her2.scoring.indicators.heat_map import heat_map, heat_map_png
from qupath_her2.scoring.indicators.patch import indicators_of_patch
from qupath_her2.scoring.indicators.ranges import PUBLISHED
from qupath_her2.scoring.indicators.slide import patch_boxes, pool, score_indicators
from qupath_her2.scoring.indicators.tissue import measured_area

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from qupath_her2.records import Box
    from qupath_her2.runs.inputs import Inputs
    from qupath_her2.runs.methods.tumour_map import TumourMap
    from qupath_her2.runs.score_image import ScoreJob
    from qupath_her2.scoring.indicators.masks import IndicatorSettings
    from qupath_her2.scoring.indicators.patch import PatchIndicators
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["measure_indicators"]

#: Pieces are looked for at about this scale, µm per pixel.
_OVERVIEW_UM = 8.0


def measure_indicators(
    job: ScoreJob, slide: Slide, inputs: Inputs, *, progress: Callable[[int, int, int], None] | None
) -> Outcome:
    """Measure the patches of an image and score it; a heat map of the staining intensity goes with it."""
    ground = Ground(job, slide, inputs)
    size_um = inputs.pixel_size_um
    if ground.refusal is not None or size_um is None:
        return refused_outcome(job, ground)
    start = time.monotonic()
    settings = job.settings.indicators
    found, tumour = _where(job, slide, inputs, ground, size_um, progress)
    if found is None:
        return refused_outcome(job, ground)
    mask = found
    boxes = patch_boxes(slide.width, slide.height, size_um, settings, mask)
    patches: list[PatchIndicators] = []
    for box in boxes:
        patches.append(indicators_of_patch(_read(slide, box, settings), settings, ground.stains))
        if progress is not None:
            progress(len(patches), len(boxes), sum(patch.n_cells for patch in patches))
    score = score_indicators(
        pool(patches) if patches else None,
        job.ranges or PUBLISHED,
        min_cells=job.settings.scoring.min_cells,
        warnings=tuple(ground.warnings),
    )
    return Outcome(
        score=score,
        table=empty_table(),
        regions=tuple(region for region in ground.regions if region.role == "tumour"),
        drawn_regions=ground.regions,
        stains=ground.stains,
        warnings=tuple(ground.warnings),
        timings_s={"indicators": round(time.monotonic() - start, 3)},
        extra_files=_maps(boxes, [patch.intensity for patch in patches], tumour),
    )


def _maps(boxes: Sequence[Box], intensities: Sequence[float], tumour: TumourMap | None) -> dict[str, bytes]:
    """Return what is laid over the image: staining, and the tumour as a network found it."""
    files = {} if tumour is None else {tumour.overlay.file: tumour.png}
    places = [] if tumour is None else [tumour.overlay]
    if boxes:
        place, png = _heat_map(boxes, intensities)
        files[place.file] = png
        places.insert(0, place)
    return files | {OVERLAYS: overlays_json(places)} if files else {}


def _heat_map(boxes: Sequence[Box], intensities: Sequence[float]) -> tuple[Overlay, bytes]:
    grid = heat_map(boxes, intensities)
    place = Overlay(
        "Staining intensity",
        "heatmap.png",
        0,
        0,
        grid.shape[1] * boxes[0].width,
        grid.shape[0] * boxes[0].height,
    )
    return place, heat_map_png(grid)


def _where(
    job: ScoreJob,
    slide: Slide,
    inputs: Inputs,
    ground: Ground,
    pixel_size_um: float,
    progress: Callable[[int, int, int], None] | None,
) -> tuple[NDArray[np.bool_] | None, TumourMap | None]:
    """Return what to measure, bool over the image, and the map of the network that found it if one was asked.

    The regions, or the tissue without control pieces, of which the tumour alone where a network looked for it; None
    where that network found none.
    """
    longest_um = max(slide.width, slide.height) * pixel_size_um
    rgb, frame = read_overview(slide, max(256, round(longest_um / _OVERVIEW_UM)))
    drawn = tumour_mask(ground.regions, rgb.shape, frame.to_picture)
    tumour = None
    if job.checkpoint is not None:
        shape = (rgb.shape[0], rgb.shape[1])
        tumour = find_tumour(job, slide, inputs, ground, shape, frame.scale, progress=progress)
        if tumour is None:
            return None, None
        drawn &= tumour.mask
    if not ground.is_whole_tissue:
        return drawn, tumour
    area, warnings = measured_area(
        rgb,
        pixel_size_um / frame.scale,
        keep_controls=job.keep_controls,
        settings=job.settings.control,
        indicators=job.settings.indicators,
    )
    ground.warnings.extend(warnings)
    return drawn & area, tumour


def _read(slide: Slide, box: Box, settings: IndicatorSettings) -> NDArray[np.uint8]:
    """Return a patch at the method's own scale, uint8 (patch_px, patch_px, 3)."""
    pixels = slide.read(box.x, box.y, box.width, box.height)
    side = (settings.patch_px, settings.patch_px)
    if pixels.shape[:2] == side:
        return pixels
    shrinks = box.width > settings.patch_px
    scaled = cv2.resize(pixels, side, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8)
