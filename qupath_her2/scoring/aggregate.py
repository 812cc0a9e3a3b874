"""Cells to regions to the image: counts pool, shares are never averaged, and a refusal is a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ScoringError
from qupath_her2.records import NOT_MEASURED, CaseInfo, Refusal, Score, SlideScore
from qupath_her2.scoring.guidelines import guideline_for
from qupath_her2.scoring.pool import Cells, ScoringSettings, score_pool, spoils
from qupath_her2.scoring.rules import Guideline, cell_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Regrade", "ScoringSettings", "score_cells"]

#: Takes a relative shift of the cut-points (-0.1 = 10 % lower) and returns the facts of every cell.
Regrade = Callable[[float], "tuple[NDArray[np.uint8], NDArray[np.uint8]]"]

#: Below this share, cells without a membrane value are ordinary (cut by the image edge) and not worth a line.
_UNMEASURED_WARNING = 0.01


def score_cells(
    intensity: NDArray[np.uint8],
    pattern: NDArray[np.uint8],
    region: NDArray[np.int32],
    region_ids: Sequence[str],
    *,
    case: CaseInfo,
    settings: ScoringSettings,
    centroid_xy_um: NDArray[np.floating] | None = None,
    refusal: Refusal | None = None,
    regrade: Regrade | None = None,
    warnings: Sequence[str] = (),
) -> tuple[NDArray[np.uint8], SlideScore]:
    """Classify the cells of an image and score each region and the image.

    Parameters
    ----------
    intensity, pattern
        uint8 (N,), indices into `records.INTENSITIES` and `records.PATTERNS`, 255 = not
        measured.
    region
        int32 (N,), index into `region_ids`.
    region_ids
        UUIDs (text) of the scored regions; a region without cells is listed, not assessable.
    case
        Site and specimen choose the guideline; ISH values are read with the score.
    centroid_xy_um
        (N, 2), µm; needed by the gastric biopsy rule alone.
    refusal
        Why the image must not be scored; the result then carries its reason and no score. Cells lose
        their class, except where only their number is the trouble.
    regrade
        Gives the facts of the same cells under cut-points shifted by a relative amount, to try
        stability.
    warnings
        Sentences of earlier steps, put first.

    Returns
    -------
    cell_class
        uint8 (N,), index into `records.CELL_CLASSES`, 255 = not measured.
    SlideScore
        Counts pooled over regions; `regions` holds the score of each alone.

    Raises
    ------
    ScoringError : columns of different length, codes or region indices out of range, impossible ISH values.
    SettingsError : the guideline is unknown.
    """
    guideline = guideline_for(case, settings.guideline)
    classes = cell_classes(intensity, pattern, guideline)
    if region.shape != intensity.shape or (
        len(region) and not 0 <= region.min() <= region.max() < len(region_ids)
    ):
        raise ScoringError(
            f"Each of {len(intensity)} cells needs a region index in 0..{len(region_ids) - 1}; got "
            f"{len(region)} indices."
        )
    cells = Cells(intensity, pattern, centroid_xy_um)
    refusal = refusal or _own_refusal(region_ids, settings)
    image = score_pool(cells, guideline, case, settings, refusal)
    regions = {
        uuid: score_pool(
            cells.where(region == number), guideline, case, settings, refusal if spoils(refusal) else None
        )
        for number, uuid in enumerate(region_ids)
    }
    if spoils(refusal):
        classes = np.full(len(classes), NOT_MEASURED, np.uint8)
    elif image.score is not None and regrade is not None:
        image = _with_stability(image, cells, regrade, guideline, case, settings)
    image = replace(
        image, warnings=(*warnings, *_case_warnings(guideline, case, intensity, pattern), *image.warnings)
    )
    columns = {name: getattr(image, name) for name in Score.__dataclass_fields__}
    return classes, SlideScore(**columns, regions=regions)


def _own_refusal(region_ids: Sequence[str], settings: ScoringSettings) -> Refusal | None:
    if not region_ids:
        return Refusal(
            "no_tumour_region", "no tumour region: draw one, or score the whole tissue with --whole-tissue"
        )
    if not settings.pool_regions:
        return Refusal("tma_cores", "each tissue microarray core has its own score and the slide has none")
    return None


def _with_stability(
    image: Score,
    cells: Cells,
    regrade: Regrade,
    guideline: Guideline,
    case: CaseInfo,
    settings: ScoringSettings,
) -> Score:
    """Score again under shifted cut-points; differing scores are a warning, never an average."""
    found = {}
    for shift in (-settings.cut_shift, settings.cut_shift):
        intensity, pattern = regrade(shift)
        again = score_pool(
            replace(cells, intensity=intensity, pattern=pattern), guideline, case, settings, None
        )
        found[f"{100 * abs(shift):g} % {'lower' if shift < 0 else 'higher'}"] = again.score or again.status
    if set(found.values()) == {image.score}:
        return replace(image, tags=(*image.tags, f"stable at cut-points ±{100 * settings.cut_shift:g} %"))
    moved = " and ".join(f"{score} at cut-points {shift}" for shift, score in found.items())
    text = f"The score {image.score} depends on the cut-points: it is {moved}."
    return replace(image, warnings=(*image.warnings, text))


def _case_warnings(
    guideline: Guideline, case: CaseInfo, intensity: NDArray[np.uint8], pattern: NDArray[np.uint8]
) -> list[str]:
    lines = []
    if guideline.site != case.site:
        lines.append(
            f"'{guideline.name}' is a {guideline.site} rule, used on a {case.site} specimen as asked."
        )
    if guideline.site == "gastric" and (case.her2_cep17_ratio is not None or case.her2_copies is not None):
        lines.append("ISH was not read: the dual-probe groups are a breast rule.")
    missing = int(((intensity == NOT_MEASURED) | (pattern == NOT_MEASURED)).sum())
    if missing > _UNMEASURED_WARNING * len(intensity):
        lines.append(f"{missing:,} of {len(intensity):,} cells have no membrane value and are not counted.")
    return lines
