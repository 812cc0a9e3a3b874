"""One pool of cells, a region's or an image's, to its score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ScoringError, SettingsError
from qupath_her2.records import CELL_CLASSES, NOT_MEASURED, CaseInfo, Refusal, Score
from qupath_her2.scoring.clusters import cluster_sizes
from qupath_her2.scoring.intervals import complete_share, false_call_limit, h_score, wilson_interval
from qupath_her2.scoring.ish import IshResult, ish_for
from qupath_her2.scoring.nearest import cells_to_next_score
from qupath_her2.scoring.reason import RESEARCH_USE, explain
from qupath_her2.scoring.rules import Guideline, cell_classes, evaluate, fact_counts, stained_count
from qupath_her2.scoring.tags import therapy_tags

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Cells", "ScoringSettings", "score_pool", "spoils"]

#: Refusals that leave the cells' facts valid: the shares are then still shown, without a score.
_FACTS_STAND = frozenset({"too_few_cells", "tma_cores"})


@dataclass(frozen=True, slots=True)
class ScoringSettings:
    """How cells become a score.

    Attributes
    ----------
    guideline
        A key or name of `tables.GUIDELINES`, or ``auto``: by the case's site and specimen.
    min_cells
        Fewest measured tumour cells that get a score; ASCO/CAP names no number, 100 keeps the 95 %
        interval of a share at the 10 % limit within about 6 to 17 %.
    noise_floor
        Share of cells (0..0.05) that false calls alone would stain; below it, staining is not told
        from none (HER2-null, heterogeneous 2+). 0 takes every cell at its word.
    cluster_distance_um
        Centroids this near are neighbours in a cluster (gastric biopsy); about one and a
        half diameters of a tumour cell.
    cut_shift
        Relative shift of the measurement cut-points, both ways, under which the score is tried again.
    pool_regions
        False for tissue microarrays: each core has its own score and the slide none.
    """

    guideline: str = "auto"
    min_cells: int = 100
    noise_floor: float = 0.005
    cluster_distance_um: float = 20.0
    cut_shift: float = 0.10
    pool_regions: bool = True

    def __post_init__(self) -> None:
        if self.min_cells < 1:
            raise SettingsError(f"min_cells is {self.min_cells}; it must be 1 or more.")
        if not 0 <= self.noise_floor <= 0.05:
            raise SettingsError(
                f"noise_floor is {self.noise_floor}; it must lie in 0 to 0.05 (a share of cells)."
            )
        if not 0 < self.cluster_distance_um <= 200:
            raise SettingsError(
                f"cluster_distance_um is {self.cluster_distance_um}; it must lie in 0 to 200 µm."
            )
        if not 0 < self.cut_shift < 1:
            raise SettingsError(f"cut_shift is {self.cut_shift}; it must lie between 0 and 1 (0.1 = 10 %).")


@dataclass(frozen=True, slots=True)
class Cells:
    """The columns of some cells; centroids in µm or None."""

    intensity: NDArray[np.uint8]
    pattern: NDArray[np.uint8]
    xy_um: NDArray[np.floating] | None

    def where(self, inside: NDArray[np.bool_]) -> Cells:
        """Return the cells for which the mask, bool (N,), is true."""
        xy_um = None if self.xy_um is None else self.xy_um[inside]
        return Cells(self.intensity[inside], self.pattern[inside], xy_um)


def spoils(refusal: Refusal | None) -> bool:
    """Whether a refusal takes the ground from under the cells' facts, and so from every region too."""
    return refusal is not None and refusal.code not in _FACTS_STAND


def score_pool(
    cells: Cells, guideline: Guideline, case: CaseInfo, settings: ScoringSettings, refusal: Refusal | None
) -> Score:
    """Return the score of one pool of cells by a guideline, or why there is none.

    Parameters
    ----------
    refusal
        A reason not to score that was found before; too few cells is found here.

    Raises
    ------
    ScoringError : a guideline of clusters without centroids, or impossible ISH values.
    """
    counts = fact_counts(cells.intensity, cells.pattern)
    n_cells = int(counts.sum())
    if refusal is None and n_cells < settings.min_cells:
        refusal = Refusal(
            "too_few_cells",
            f"{n_cells:,} measured tumour cells are too few (at least {settings.min_cells:,} needed)",
        )
    base = Score(
        status="not assessable", score=None, reason="", guideline=guideline.name, n_cells=n_cells,
        tags=("control specimen",) if case.is_control else (),
    )  # fmt: skip
    if refusal is not None:
        reason = f"Not assessable: {refusal.reason.rstrip('.')}. {RESEARCH_USE}"
        base = replace(base, reason=reason, refusal_code=refusal.code)
        return base if spoils(refusal) or n_cells == 0 else _with_shares(base, cells, counts, guideline)
    return _judge(_with_shares(base, cells, counts, guideline), cells, counts, guideline, case, settings)


def _with_shares(score: Score, cells: Cells, counts: NDArray[np.int64], guideline: Guideline) -> Score:
    classes = cell_classes(cells.intensity, cells.pattern, guideline)
    per_class = np.bincount(classes[classes != NOT_MEASURED], minlength=len(CELL_CLASSES)).tolist()
    n_cells = sum(per_class)
    return replace(
        score,
        shares={name: k / n_cells for name, k in zip(CELL_CLASSES, per_class, strict=True)},
        intervals={
            name: wilson_interval(k, n_cells) for name, k in zip(CELL_CLASSES, per_class, strict=True)
        },
        complete_share=complete_share(counts),
        h_score=h_score(per_class),
    )


def _judge(
    score: Score,
    cells: Cells,
    counts: NDArray[np.int64],
    guideline: Guideline,
    case: CaseInfo,
    settings: ScoringSettings,
) -> Score:
    false_calls = false_call_limit(score.n_cells, settings.noise_floor)
    clusters = _clusters(cells, guideline, settings)
    verdict = evaluate(counts, guideline, false_calls=false_calls, clusters=clusters)
    tags = [*score.tags, *verdict.notes]
    ish: IshResult | None = None
    if guideline.site == "breast":
        ish = ish_for(case, verdict.score)
        stained = stained_count(counts)
        tags += therapy_tags(
            verdict.score, stained=stained, false_calls=false_calls, noise_floor=settings.noise_floor, ish=ish
        )
    return replace(
        score,
        status="scored",
        score=verdict.score,
        reason=explain(verdict, counts, guideline, clusters=clusters, ish=ish),
        cells_to_next_score=cells_to_next_score(counts, guideline, false_calls=false_calls),
        tags=tuple(tags),
    )


def _clusters(cells: Cells, guideline: Guideline, settings: ScoringSettings) -> tuple[int, ...] | None:
    if not guideline.by_cluster:
        return None
    if cells.xy_um is None:
        raise ScoringError(f"'{guideline.name}' scores clusters of cells and needs their centroids in µm.")
    return cluster_sizes(cells.intensity, cells.pattern, cells.xy_um, guideline, settings.cluster_distance_um)
