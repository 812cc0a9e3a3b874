"""Figures of one scored image against what was drawn, as plain numbers that can be summed over images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.records import NOT_MEASURED
from qupath_her2.synthetic.field import Field, FieldTruth, draw_field
from tests.helpers.matching import match_nuclei
from tests.quality.chain import Scored, Shape, score_facts, score_picture
from tests.quality.fields import Task

#: Nuclei closer to the edge of the image are left out, as their cells are cut off.
BORDER_UM = 8.0
_CODES = 4


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one image.

    `found`, `false`, `missed` count nuclei; `confusion`, `intensity`, `pattern` count matched cells, 4 drawn codes x
    5 found ones (the last: not measured); `completeness_error` and `completeness_bias` are sums over `n_measured`
    cells, the `stained_` ones over the cells drawn with a membrane; `od_ratio` is the median of found over drawn own
    membrane OD by drawn intensity (faint, moderate, intense). A score is None where there is none.
    """

    group: str
    name: str
    um_px: float
    seed: int
    score_drawn: str | None
    score_found: str | None
    refusal: str | None
    shares_drawn: tuple[float, ...]
    shares_found: tuple[float, ...]
    n_drawn: int
    n_cells: int
    cpu_seconds: float
    stains: str
    found: int = 0
    false: int = 0
    missed: int = 0
    confusion: list[list[int]] = field(default_factory=list)
    intensity: list[list[int]] = field(default_factory=list)
    pattern: list[list[int]] = field(default_factory=list)
    n_measured: int = 0
    completeness_error: float = 0.0
    completeness_bias: float = 0.0
    n_stained: int = 0
    stained_error: float = 0.0
    od_ratio: tuple[float, ...] = ()


def run_task(task: Task) -> list[Row]:
    """Draw a field, make its variants and score each, on one thread."""
    cv2.setNumThreads(1)
    drawn = draw_field(task.settings)
    shape: Shape | None = drawn.truth.tumour_region
    if task.whole_tissue:
        shape = None
    elif drawn.truth.tumour_region.is_empty:
        shape = shapely.box(0, 0, task.settings.width_px, task.settings.height_px)
    rows = []
    for variant in task.variants:
        picture = variant.apply(drawn.rgb, task.settings)
        scored = score_picture(picture, task.settings.pixel_size_um, shape)
        rows.append(measured_row(variant.group, variant.name, drawn, scored))
    return rows


def measured_row(group: str, name: str, drawn: Field, scored: Scored) -> Row:
    """Return the figures of a scored image of a drawn field."""
    truth, um_px = drawn.truth, drawn.settings.pixel_size_um
    _, wanted = score_facts(truth.intensity, truth.pattern)
    row: dict[str, Any] = {
        "group": group,
        "name": name,
        "um_px": um_px,
        "seed": drawn.settings.seed,
        "score_drawn": wanted.score,
        "score_found": scored.score.score,
        "refusal": scored.score.refusal_code,
        "shares_drawn": truth.class_shares,
        "shares_found": tuple(scored.score.shares.values()),
        "n_drawn": len(truth),
        "n_cells": scored.score.n_cells,
        "cpu_seconds": scored.seconds,
        "stains": scored.stains.source,
    }
    if scored.cells is None or len(scored.cells.table) == 0 or len(truth) == 0:
        return Row(**row)
    return Row(**row, **_cell_figures(drawn, scored))


def _cell_figures(drawn: Field, scored: Scored) -> dict[str, Any]:
    """Count nuclei and compare matched cells, without the border."""
    truth, s, cells = drawn.truth, drawn.settings, scored.cells
    assert cells is not None
    xy = cells.table.centroid_xy
    matches = match_nuclei(xy, truth.nuclei, s.pixel_size_um, truth.other_nuclei)
    edge = BORDER_UM / s.pixel_size_um
    low, high = edge, np.array([s.width_px, s.height_px]) - edge
    is_inner = np.all((truth.centroid_xy >= low) & (truth.centroid_xy < high), axis=1)
    is_inner_found = np.all((xy >= low) & (xy < high), axis=1)
    kept = is_inner[matches.truth]
    i, j = matches.detected[kept], matches.truth[kept]
    return {
        "found": len(i),
        "false": int(is_inner_found[matches.false].sum()),
        "missed": int(is_inner[matches.missed].sum()),
        "confusion": _table(truth.cell_class[j], score_facts(cells.intensity, cells.pattern)[0][i]),
        "intensity": _table(truth.intensity[j], cells.intensity[i]),
        "pattern": _table(truth.pattern[j], cells.pattern[i]),
        **_membrane_figures(truth, scored, i, j),
    }


def _membrane_figures(
    truth: FieldTruth, scored: Scored, i: NDArray[np.int64], j: NDArray[np.int64]
) -> dict[str, Any]:
    assert scored.cells is not None
    completeness = scored.cells.table.column("HER2: Membrane completeness")[i]
    error = completeness - truth.completeness[j]
    measured, stained = np.isfinite(error), truth.completeness[j] > 0
    od = scored.cells.estimates.own_od[i] / np.where(truth.membrane_od[j] > 0, truth.membrane_od[j], np.nan)
    codes = truth.intensity[j]
    ratios = [od[(codes == code) & np.isfinite(od)] for code in (1, 2, 3)]
    return {
        "n_measured": int(measured.sum()),
        "completeness_error": float(np.abs(error[measured]).sum()),
        "completeness_bias": float(error[measured].sum()),
        "n_stained": int((measured & stained).sum()),
        "stained_error": float(np.abs(error[measured & stained]).sum()),
        "od_ratio": tuple(float(np.median(part)) if len(part) else float("nan") for part in ratios),
    }


def _table(drawn: NDArray[np.uint8], found: NDArray[np.uint8]) -> list[list[int]]:
    column = np.where(found == NOT_MEASURED, _CODES, found).astype(np.int64)
    flat = np.bincount(drawn.astype(np.int64) * (_CODES + 1) + column, minlength=_CODES * (_CODES + 1))
    return flat.reshape(_CODES, _CODES + 1).tolist()
