"""HER2 scores from classified cells: each region, the whole image, and the refusals.

Counts are pooled over regions, never averaged as shares, and a refusal is a result like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np

from qupath_her2.errors import ScoringError
from qupath_her2.records import CELL_CLASSES, NOT_MEASURED, CaseInfo, Refusal, Score, SlideScore
from qupath_her2.scoring.clusters import cluster_sizes
from qupath_her2.scoring.guidelines import guideline_for
from qupath_her2.scoring.intervals import complete_share, false_call_limit, h_score, wilson_interval
from qupath_her2.scoring.ish import IshResult, ish_for
from qupath_her2.scoring.next_score import cells_to_next_score
from qupath_her2.scoring.reason import RESEARCH_USE, explain, with_sentence
from qupath_her2.scoring.rules import Guideline, cell_classes, evaluate, fact_counts, stained_count
from qupath_her2.scoring.tags import therapy_tags
from qupath_her2.setting_ranges import Range, Text, check_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Regrade", "ScoringSettings", "score_cells"]

#: Takes a relative shift of the cut-points (-0.1 = 10 % lower) and returns intensity and pattern of every cell.
Regrade = Callable[[float], "tuple[NDArray[np.uint8], NDArray[np.uint8]]"]

#: Refusals that leave the cell measurements valid: the shares are still shown, without a score.
_CELLS_REMAIN_VALID = frozenset({"too_few_cells", "tma_cores"})

#: A smaller share of cells without a membrane measurement is ordinary (cells cut by the image edge): no warning.
_UNMEASURED_WARNING = 0.01


@dataclass(frozen=True, slots=True)
class ScoringSettings:
    """Settings that turn cells into a score.

    Attributes
    ----------
    guideline
        A key or name of `guidelines.GUIDELINES`, or ``auto``: chosen by the case's site and specimen.
    min_cells
        Fewest measured tumour cells that get a score. ASCO/CAP gives no number; with 100 cells the 95 %
        interval of a share at the 10 % threshold spans about 6 to 17 %.
    noise_floor
        Share of cells expected to be called stained by mistake. Staining below it cannot be told
        from none (HER2-null, heterogeneous 2+). 0 takes every stained cell at face value.
    cluster_distance_um
        Largest distance in µm between the centroids of neighbouring cells in a cluster (gastric biopsies);
        about one and a half diameters of a tumour cell.
    cut_shift
        Relative shift of the membrane cut-points, up and down, for the check that the score is stable.
    pool_regions
        False for tissue microarrays: each core gets its own score and the slide gets none.
    """

    guideline: Annotated[str, Text("auto or the name of a guideline", may_be_empty=True)] = "auto"
    min_cells: Annotated[int, Range(1, 1_000_000, "cells")] = 100
    noise_floor: Annotated[float, Range(0, 0.05, "(a share)")] = 0.005
    cluster_distance_um: Annotated[float, Range(0, 200, "µm", is_open="low")] = 20.0
    cut_shift: Annotated[float, Range(0, 1, "(a share)", is_open="both")] = 0.10
    pool_regions: bool = True

    def __post_init__(self) -> None:
        check_settings(self)
        guideline_for(CaseInfo(), self.guideline)


@dataclass(frozen=True, slots=True)
class _Cells:
    """Intensity and pattern codes of N cells, and their centroids in µm, (N, 2), or None."""

    intensity: NDArray[np.uint8]
    pattern: NDArray[np.uint8]
    xy_um: NDArray[np.floating] | None

    def where(self, mask: NDArray[np.bool_]) -> _Cells:
        """Return the cells selected by a bool (N,) mask."""
        xy_um = None if self.xy_um is None else self.xy_um[mask]
        return _Cells(self.intensity[mask], self.pattern[mask], xy_um)


@dataclass(frozen=True, slots=True)
class _Context:
    """What all pools of one image share: the rule table, the case, and the settings."""

    guideline: Guideline
    case: CaseInfo
    settings: ScoringSettings


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
    members: Sequence[NDArray[np.bool_]] | None = None,
    n_told: int = 0,
) -> tuple[NDArray[np.uint8], SlideScore]:
    """Classify the cells of an image, then score each region and the whole image.

    Parameters
    ----------
    intensity, pattern
        uint8 (N,), indices into `records.INTENSITIES` and `records.PATTERNS`, 255 = not measured.
    region
        int32 (N,), index into `region_ids`.
    region_ids
        UUIDs (text) of the scored regions; a region without cells is listed as not assessable.
    case
        Site and specimen select the guideline; ISH values are interpreted together with the score.
    settings
        Guideline, minimum number of cells, noise floor and the like.
    centroid_xy_um
        (N, 2), µm; only the gastric biopsy rule needs it.
    refusal
        Reason not to score the image, found by an earlier step. The cells lose their class, unless the
        refusal is only about their number.
    regrade
        Returns intensity and pattern of the same cells under shifted cut-points, to check whether the score
        is stable.
    warnings
        Sentences from earlier steps; they come first.
    members
        For each region, bool (N,), the cells of its own score where regions overlap; None: those that `region` gives.
    n_told
        Number of cells not measured of which `warnings` tell already.

    Returns
    -------
    cell_class
        uint8 (N,), index into `records.CELL_CLASSES`, 255 = not measured.
    SlideScore
        Score of all cells pooled; `regions` holds the score of each region.

    Raises
    ------
    ScoringError
        The columns differ in length, codes or region indices are out of range, or ISH values are impossible.
    SettingsError
        The guideline is unknown.
    """
    context = _Context(guideline_for(case, settings.guideline), case, settings)
    classes = cell_classes(intensity, pattern, context.guideline)
    _check_regions(region, len(intensity), len(region_ids))
    cells = _Cells(intensity, pattern, centroid_xy_um)
    refusal = refusal or _region_refusal(region_ids, settings)
    image = _score_pool(cells, context, refusal)
    # Few cells, or a slide of TMA cores, say nothing against a region; a blurred image or wrong stain does.
    of_regions = refusal if _invalidates_cells(refusal) else None
    pools = members or [region == number for number in range(len(region_ids))]
    regions = {
        uuid: _score_pool(cells.where(pool), context, of_regions)
        for uuid, pool in zip(region_ids, pools, strict=True)
    }
    # QuPath must not show graded cells on an image whose stain or focus was refused.
    if _invalidates_cells(refusal):
        classes = np.full(len(classes), NOT_MEASURED, np.uint8)
    elif image.score is not None and regrade is not None:
        image = _with_stability(image, cells, regrade, context)
    image = replace(image, warnings=(*warnings, *_case_warnings(cells, context, n_told), *image.warnings))
    # dataclasses.asdict would copy the nested values; the fields are wanted as they are.
    columns = {name: getattr(image, name) for name in Score.__dataclass_fields__}
    return classes, SlideScore(**columns, regions=regions)


def _check_regions(region: NDArray[np.int32], n_cells: int, n_regions: int) -> None:
    # A cell with an index out of range would belong to no region and still count in the image.
    if region.shape != (n_cells,) or (len(region) and not 0 <= region.min() <= region.max() < n_regions):
        raise ScoringError(
            f"Each of the {n_cells} cells needs a region index in 0..{n_regions - 1}; got {len(region)} indices."
        )


def _region_refusal(region_ids: Sequence[str], settings: ScoringSettings) -> Refusal | None:
    if not region_ids:
        return Refusal(
            "no_tumour_region",
            "no tumour region: annotate one, or score the whole tissue with --whole-tissue",
        )
    if not settings.pool_regions:
        return Refusal("tma_cores", "each tissue microarray core has its own score; the slide has none")
    return None


def _invalidates_cells(refusal: Refusal | None) -> bool:
    """Tell whether a refusal makes the cell measurements themselves unreliable, and so every region too."""
    return refusal is not None and refusal.code not in _CELLS_REMAIN_VALID


def _score_pool(cells: _Cells, context: _Context, refusal: Refusal | None) -> Score:
    """Score one pool of cells (a region or the image), or say why it has no score."""
    counts = fact_counts(cells.intensity, cells.pattern)
    n_cells = int(counts.sum())
    min_cells = context.settings.min_cells
    # A refusal from an earlier step takes precedence: it is the cause, few cells may be its effect.
    if refusal is None and n_cells < min_cells:
        refusal = Refusal(
            "too_few_cells",
            f"{n_cells:,} measured tumour cells are too few (at least {min_cells:,} needed)",
        )
    base = Score(
        status="not assessable",
        score=None,
        reason="",
        guideline=context.guideline.name,
        guideline_origin=context.case.guideline_origin,
        n_cells=n_cells,
        tags=("control specimen",) if context.case.is_control else (),
    )
    if refusal is not None:
        reason = f"Not assessable: {refusal.reason.rstrip('.')}. {RESEARCH_USE}"
        base = replace(base, reason=reason, refusal_code=refusal.code)
        if _invalidates_cells(refusal) or n_cells == 0:
            return base
        return _with_shares(base, cells, counts, context.guideline)
    return _with_verdict(_with_shares(base, cells, counts, context.guideline), cells, counts, context)


def _with_shares(score: Score, cells: _Cells, counts: NDArray[np.int64], guideline: Guideline) -> Score:
    classes = cell_classes(cells.intensity, cells.pattern, guideline)
    per_class = np.bincount(classes[classes != NOT_MEASURED], minlength=len(CELL_CLASSES)).tolist()
    n_cells = sum(per_class)
    by_name = dict(zip(CELL_CLASSES, per_class, strict=True))
    return replace(
        score,
        shares={name: k / n_cells for name, k in by_name.items()},
        intervals={name: wilson_interval(k, n_cells) for name, k in by_name.items()},
        complete_share=complete_share(counts),
        h_score=h_score(per_class),
    )


def _with_verdict(score: Score, cells: _Cells, counts: NDArray[np.int64], context: _Context) -> Score:
    """Add what the guideline says of these cells: score, reason, tags, distance to the next score."""
    guideline, settings = context.guideline, context.settings
    false_calls = false_call_limit(score.n_cells, settings.noise_floor)
    clusters = _clusters(cells, guideline, settings.cluster_distance_um)
    verdict = evaluate(counts, guideline, false_calls=false_calls, clusters=clusters)
    tags = [*score.tags, *verdict.notes]
    ish: IshResult | None = None
    # HER2-low and the dual-probe groups are defined for breast cancer only.
    if guideline.site == "breast":
        ish = ish_for(context.case, verdict.score)
        tags += therapy_tags(
            verdict.score,
            stained=stained_count(counts),
            false_calls=false_calls,
            noise_floor=settings.noise_floor,
            ish=ish,
        )
    reason = explain(verdict, counts, guideline, clusters=clusters, ish=ish)
    if score.guideline_origin:
        reason = with_sentence(reason, f"Guideline: {score.guideline_words}.")
    return replace(
        score,
        status="scored",
        score=verdict.score,
        reason=reason,
        cells_to_next_score=cells_to_next_score(counts, guideline, false_calls=false_calls),
        tags=tuple(tags),
    )


def _clusters(cells: _Cells, guideline: Guideline, distance_um: float) -> tuple[int, ...] | None:
    if not guideline.by_cluster:
        return None
    if cells.xy_um is None:
        raise ScoringError(f"'{guideline.name}' scores clusters of cells and needs their centroids in µm.")
    return cluster_sizes(cells.intensity, cells.pattern, cells.xy_um, guideline, distance_um)


def _with_stability(image: Score, cells: _Cells, regrade: Regrade, context: _Context) -> Score:
    """Score again under shifted cut-points; differing scores give a warning and are never averaged."""
    cut_shift = context.settings.cut_shift
    shifted_scores = {}
    # Only for the image: its score is the one that is reported.
    for shift in (-cut_shift, cut_shift):
        intensity, pattern = regrade(shift)
        shifted = _score_pool(replace(cells, intensity=intensity, pattern=pattern), context, None)
        direction = "lower" if shift < 0 else "higher"
        shifted_scores[f"{100 * abs(shift):g} % {direction}"] = shifted.score or shifted.status
    if set(shifted_scores.values()) == {image.score}:
        return replace(image, tags=(*image.tags, f"stable at cut-points ±{100 * cut_shift:g} %"))
    words = ", ".join(f"{score} with cut-points {shift}" for shift, score in shifted_scores.items())
    return replace(
        image, warnings=(*image.warnings, f"The score {image.score} depends on the cut-points: {words}.")
    )


def _case_warnings(cells: _Cells, context: _Context, n_told: int) -> list[str]:
    guideline, case = context.guideline, context.case
    lines = []
    # Allowed, since retrospective studies compare guidelines, but never without a warning.
    if guideline.site != case.site:
        lines.append(
            f"'{guideline.name}' is a {guideline.site} guideline, applied to a {case.site} specimen as requested."
        )
    if guideline.site == "gastric" and (case.her2_cep17_ratio is not None or case.her2_copies is not None):
        lines.append("ISH values are ignored: the dual-probe groups apply to breast cancer only.")
    missing = int(((cells.intensity == NOT_MEASURED) | (cells.pattern == NOT_MEASURED)).sum()) - n_told
    if missing > _UNMEASURED_WARNING * len(cells.intensity):
        lines.append(
            f"{missing:,} of {len(cells.intensity):,} cells have no membrane measurement and are not counted."
        )
    return lines
