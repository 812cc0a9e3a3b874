"""Indicators of a slide: the grid of patches, pooling over patches, and the score.

Che et al. 2023, section 3.2 (doi 10.3390/diagnostics13020263): non-overlapping 512 x 512 patches at 20x over
the tumour area. Nothing here reads a file: the caller's `read_patch` supplies the pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ScoringError
from qupath_her2.records import Box, Refusal, SlideScore
from qupath_her2.scoring.indicators.masks import IndicatorSettings
from qupath_her2.scoring.indicators.patch import PatchIndicators, indicators_of_patch
from qupath_her2.scoring.indicators.ranges import (
    INDICATORS,
    PUBLISHED,
    Decision,
    IndicatorRanges,
    decide,
    nearest_by_ratios,
)
from qupath_her2.scoring.reason import RESEARCH_USE
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "SlideIndicators",
    "indicators_of_slide",
    "patch_boxes",
    "pool_patches",
    "score_indicators",
]


#: The way out of a table that does not apply.
_FIT = (
    "Fit ranges on labelled cases of your own (qupath-her2 indicators fit FOLDER) and pass them with --ranges FILE, or "
    "pass --accept-ranges to score all the same"
)
#: A margin below this share of the span counts as a tie; the published ranges overlap by about as much.
_NARROW = 0.01


@dataclass(frozen=True, slots=True)
class SlideIndicators:
    """The three indicators of a slide: intensity, positive-cell ratio, circumferential ratio, all 0..1.

    Ratios are NaN if no cell was found. `n_patches` and `n_cells` are the numbers behind them.
    """

    intensity: float
    positive_ratio: float
    circumferential_ratio: float
    n_patches: int
    n_cells: int

    def values(self) -> tuple[float, float, float]:
        """Return the indicators in the order of `ranges.INDICATORS`."""
        return self.intensity, self.positive_ratio, self.circumferential_ratio


def patch_boxes(
    width: int,
    height: int,
    pixel_size_um: float,
    settings: IndicatorSettings,
    mask: NDArray[np.bool_] | None = None,
) -> tuple[Box, ...]:
    """Tile an image with non-overlapping patches, row by row; remainders at the far edges are dropped.

    Parameters
    ----------
    width, height
        Size of the image, level-0 pixels.
    pixel_size_um
        Size of a level-0 pixel, µm.
    settings
        Patch size and minimum share of tissue.
    mask
        bool (h, w) over the whole image at any scale: the area to measure. A patch needs at least
        `settings.min_tissue_share` of it. None keeps every patch.

    Returns
    -------
    tuple[Box, ...]
        Squares in level-0 pixels, with a side of `settings.patch_px` x `settings.pixel_size_um` µm.
    """
    side = max(1, round(settings.patch_px * settings.pixel_size_um / pixel_size_um))
    # Partial patches are dropped: their intensity would weigh as much as that of a whole patch.
    columns, rows = width // side, height // side
    boxes = [Box(x * side, y * side, side, side) for y in range(rows) for x in range(columns)]
    if mask is None:
        return tuple(boxes)
    to_mask = (mask.shape[1] / width, mask.shape[0] / height)
    return tuple(box for box in boxes if _covered(box, mask, to_mask) >= settings.min_tissue_share)


def _covered(box: Box, mask: NDArray[np.bool_], to_mask: tuple[float, float]) -> float:
    x, y = int(box.x * to_mask[0]), int(box.y * to_mask[1])
    # At least one mask pixel: a coarse mask may be larger than a patch.
    right = max(x + 1, round((box.x + box.width) * to_mask[0]))
    bottom = max(y + 1, round((box.y + box.height) * to_mask[1]))
    return float(mask[y:bottom, x:right].mean())


def pool_patches(patches: Iterable[PatchIndicators]) -> SlideIndicators:
    """Pool patches: mean of their intensities, and ratios over all their cells together.

    Raises
    ------
    ScoringError
        There is no patch.
    """
    measured = list(patches)
    if not measured:
        raise ScoringError("No patches to pool. Check the tissue mask and the regions.")
    # Ratios pool over cells, not patches: a sparse patch with two cells must not count like one with two hundred.
    n_cells = sum(patch.n_cells for patch in measured)
    positive = sum(patch.n_positive for patch in measured)
    closed = sum(patch.n_circumferential for patch in measured)
    return SlideIndicators(
        intensity=sum(patch.intensity for patch in measured) / len(measured),
        positive_ratio=positive / n_cells if n_cells else float("nan"),
        circumferential_ratio=closed / n_cells if n_cells else float("nan"),
        n_patches=len(measured),
        n_cells=n_cells,
    )


def indicators_of_slide(
    read_patch: Callable[[Box], NDArray[np.uint8]],
    boxes: Sequence[Box],
    settings: IndicatorSettings,
    stains: StainVectors = QUPATH_H_DAB,
) -> tuple[SlideIndicators, tuple[PatchIndicators, ...]]:
    """Measure the patches of a slide one after another and pool them.

    Parameters
    ----------
    read_patch
        Takes a box in level-0 pixels, returns uint8 (H, W, 3) at `settings.pixel_size_um`.
    boxes
        Patches to measure, from `patch_boxes`.
    settings
        Thresholds of the masks.
    stains
        Stain vectors of the slide.

    Returns
    -------
    tuple[SlideIndicators, tuple[PatchIndicators, ...]]
        The slide's indicators, and each patch's in the order of `boxes`.

    Raises
    ------
    ScoringError
        `boxes` is empty.
    """
    patches = tuple(indicators_of_patch(read_patch(box), settings, stains) for box in boxes)
    return pool_patches(patches), patches


def score_indicators(
    slide: SlideIndicators | None,
    ranges: IndicatorRanges = PUBLISHED,
    *,
    min_cells: int = 100,
    refusal: Refusal | None = None,
    warnings: Sequence[str] = (),
    objections: Sequence[str] = (),
    accept: bool = False,
) -> SlideScore:
    """Score a slide by all three indicators; a tag gives the score by intensity alone.

    Parameters
    ----------
    slide
        Pooled indicators; None if there was no tissue to measure.
    ranges
        The decision table; the published one is CSCO 2021 at one hospital.
    min_cells
        Fewest cells from which the two ratios are trusted.
    refusal
        Reason not to score the slide, found by an earlier step.
    warnings
        Sentences from earlier steps; they come first.
    objections
        Reasons why the table does not apply to this slide, from `applicability.objections`.
    accept
        Score all the same; the objections are then the first warnings.

    Returns
    -------
    SlideScore
        Without cell shares; the indicators are among its tags.
    """
    if slide is None:
        refusal = refusal or Refusal("no_tissue", "no patch contains enough tissue")
        return _refused(refusal, ranges, 0, warnings)
    # Checked last: an earlier refusal names the cause, few cells may be its consequence.
    if refusal is None and slide.n_cells < min_cells:
        words = f"{slide.n_cells:,} cells are too few (at least {min_cells:,} needed)"
        refusal = Refusal("too_few_cells", words)
    if refusal is None and objections and not accept:
        # A table fitted elsewhere is off by a class or two without any other sign.
        refusal = Refusal("ranges_not_fitted", f"{' '.join(objections)} {_FIT}")
    if refusal is not None:
        return _refused(refusal, ranges, slide.n_cells, warnings, _values(slide))
    by_all = decide(slide.values(), ranges)
    # The paper also reports staining intensity alone; it needs no cells and so no segmentation.
    by_intensity = decide(slide.values(), ranges, use=INDICATORS[:1])
    tags = (
        f"{by_intensity.score} by staining intensity alone",
        *_values(slide),
        f"margin {by_all.margin:.3f}",
    )
    return SlideScore(
        status="scored",
        score=by_all.score,
        reason=_reason(slide, by_all, ranges),
        guideline=ranges.name,
        n_cells=slide.n_cells,
        tags=tags,
        warnings=(*objections, *warnings, *_warnings(slide, by_all, ranges)),
    )


def _values(slide: SlideIndicators) -> tuple[str, ...]:
    return tuple(f"{name} {value:.3f}" for name, value in zip(INDICATORS, slide.values(), strict=True))


def _refused(
    refusal: Refusal,
    ranges: IndicatorRanges,
    n_cells: int,
    warnings: Sequence[str],
    tags: tuple[str, ...] = (),
) -> SlideScore:
    return SlideScore(
        status="not assessable",
        score=None,
        reason=f"Not assessable: {refusal.reason.rstrip('.')}. {RESEARCH_USE}",
        guideline=ranges.name,
        n_cells=n_cells,
        tags=tags,
        warnings=tuple(warnings),
        refusal_code=refusal.code,
    )


def _reason(slide: SlideIndicators, decision: Decision, ranges: IndicatorRanges) -> str:
    ratios = (
        f"{100 * slide.positive_ratio:.1f} % positive and {100 * slide.circumferential_ratio:.1f} % "
        f"circumferential of {slide.n_cells:,} cells"
    )
    if decision.by == "intensity":
        how = f"is in the {decision.score} range, with {ratios}"
    else:
        decided = "decide" if decision.by == "cell ratios" else "do not decide, so the nearest range does"
        how = f"fits {' or '.join(decision.candidates)}; the cell ratios ({ratios}) {decided}"
    patches = f"{slide.n_patches:,} patch{'es' * (slide.n_patches != 1)}"
    ish = " ISH is needed." if decision.score == "2+" else ""
    return (
        f"{decision.score}: mean staining intensity {slide.intensity:.3f} over {patches} {how} "
        f"[{ranges.name}].{ish} {RESEARCH_USE}"
    )


def _warnings(slide: SlideIndicators, by_all: Decision, ranges: IndicatorRanges) -> list[str]:
    lines = []
    by_ratios = nearest_by_ratios(slide.values(), ranges)
    # Intensity outranks the ratios, so a contradiction between them changes no score and must be shown.
    if by_all.score not in by_ratios:
        lines.append(f"The cell ratios alone would give {' or '.join(by_ratios)}.")
    # Where intensity decides, the margin is the distance to another range and no sign of doubt.
    if by_all.by != "intensity" and by_all.margin < _NARROW:
        lines.append("The second-best score fits almost as well: review the slide.")
    return lines
