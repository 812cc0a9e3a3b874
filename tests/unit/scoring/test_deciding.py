"""The cells that decide a score are those that its sentence counts."""

from __future__ import annotations

import re

import numpy as np
import pytest

from qupath_her2.records import NOT_MEASURED, CaseInfo, SlideScore
from qupath_her2.scoring.deciding import deciding_cells
from qupath_her2.scoring.guidelines import GUIDELINES
from qupath_her2.scoring.score_cells import ScoringSettings, score_cells

#: Intensity and pattern of cells of each class by ASCO/CAP: unstained, 1+, 2+, 3+, moderate but incomplete.
NEGATIVE, ONE, TWO, THREE, PARTIAL = (0, 0), (1, 1), (2, 3), (3, 3), (2, 1)


def scored(
    cells: dict[tuple[int, int], int],
    key: str = "breast-2018",
    *,
    xy: np.ndarray | None = None,
    region: np.ndarray | None = None,
    pool_regions: bool = True,
) -> tuple[SlideScore, np.ndarray, np.ndarray]:
    """Score counted cells; return the score, their codes (N, 2) and which of them decide."""
    facts = np.array([fact for fact, n in cells.items() for _ in range(n)], np.uint8)
    intensity, pattern = facts[:, 0], facts[:, 1]
    region = np.zeros(len(facts), np.int32) if region is None else region
    guideline = GUIDELINES[key]
    settings = ScoringSettings(guideline=key, pool_regions=pool_regions)
    xy = np.zeros((len(facts), 2)) if xy is None else xy
    ids = [str(number) for number in range(region.max() + 1)]
    _, score = score_cells(
        intensity, pattern, region, ids, case=CaseInfo(), settings=settings, centroid_xy_um=xy
    )
    pools = [region == number for number in range(len(ids))]
    deciding = deciding_cells(score, intensity, pattern, pools, guideline, settings, centroid_xy_um=xy)
    return score, facts, deciding


@pytest.mark.parametrize(
    ("cells", "score", "deciding"),
    [
        ({NEGATIVE: 60, TWO: 20, THREE: 40}, "3+", {THREE}),
        ({NEGATIVE: 80, ONE: 15, TWO: 23}, "2+", {TWO}),
        ({NEGATIVE: 80, ONE: 15, TWO: 14, THREE: 9}, "2+", {TWO, THREE}),
        ({NEGATIVE: 80, PARTIAL: 30, TWO: 2}, "2+", {PARTIAL, TWO}),
        ({NEGATIVE: 110, ONE: 5, THREE: 9}, "2+", {THREE}),
        ({NEGATIVE: 80, ONE: 40}, "1+", {ONE}),
        ({NEGATIVE: 150, ONE: 8}, "0", {ONE}),
        ({NEGATIVE: 150, (NOT_MEASURED, NOT_MEASURED): 8}, "0", set()),
    ],
)
def test_the_cells_of_the_row_that_gave_the_score_decide(
    cells: dict[tuple[int, int], int], score: str, deciding: set[tuple[int, int]]
) -> None:
    found, facts, chosen = scored(cells)
    assert found.score == score
    assert {tuple(fact) for fact in facts[chosen].tolist()} == deciding
    assert chosen.sum() == sum(cells[fact] for fact in deciding)


@pytest.mark.parametrize("key", [key for key in GUIDELINES if key != "gastric-biopsy"])
def test_as_many_decide_as_the_sentence_counts(key: str) -> None:
    rng = np.random.default_rng(20)
    for _ in range(60):
        weights = rng.dirichlet(np.full(16, 0.3))
        weights[0] += rng.uniform(0, 4)
        drawn = rng.multinomial(400, weights / weights.sum())
        cells = {(code // 4, code % 4): int(n) for code, n in enumerate(drawn) if n}
        score, facts, deciding = scored(cells, key)
        share = re.match(r"\S+: (\d+\.?\d*) % of ([\d,]+) tumour cells", score.reason)
        assert share is not None, score.reason
        assert deciding.sum() / len(facts) == pytest.approx(float(share[1]) / 100, abs=0.0006)


def test_in_a_biopsy_the_largest_cluster_decides() -> None:
    # Two clusters of intense cells, of seven and of five, and a cell alone.
    xy = np.concatenate(
        [np.full((120, 2), 900.0), *[np.full((n, 2), at) for n, at in ((5, 0), (7, 300), (1, 600))]]
    )
    score, facts, deciding = scored({NEGATIVE: 120, THREE: 13}, "gastric-biopsy", xy=xy)
    assert score.score == "3+"
    assert np.flatnonzero(deciding).tolist() == list(range(125, 132))
    assert (facts[deciding] == THREE).all()


def test_where_only_regions_have_scores_each_decides_for_itself() -> None:
    cells = {NEGATIVE: 100, ONE: 100, THREE: 100}
    # Region 0 holds unstained and 1+ cells, region 1 the 3+ cells, region 2 ten of the unstained: too few.
    region = np.repeat([0, 2, 0, 1], [90, 10, 100, 100]).astype(np.int32)
    score, facts, deciding = scored(cells, region=region, pool_regions=False)
    assert [one.score for one in score.regions.values()] == ["1+", "3+", None]
    assert score.score is None
    assert {tuple(fact) for fact in facts[deciding].tolist()} == {ONE, THREE}
    assert deciding.sum() == 200


def test_nothing_decides_where_nothing_is_scored() -> None:
    score, _, deciding = scored({NEGATIVE: 20, THREE: 20})
    assert score.score is None
    assert not deciding.any()
