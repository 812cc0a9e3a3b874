"""Guideline rules: every row exactly at its cut-off, cell classes, uncovered patterns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.errors import ScoringError
from qupath_her2.scoring.guidelines import (
    BREAST_2013,
    BREAST_2018,
    CSCO_2021,
    GASTRIC_BIOPSY,
    GASTRIC_RESECTION,
    GUIDELINES,
)
from qupath_her2.scoring.rules import Cutoff, cell_classes, evaluate, fact_counts

SHARE_TABLES = (BREAST_2018, BREAST_2013, CSCO_2021, GASTRIC_RESECTION)


def of_thousand(**numbers):
    cells = {name.replace("_", " "): number for name, number in numbers.items()}
    return cells | {"none": 1000 - sum(cells.values())}


BREAST_EDGES = [
    # 10.0 % is not above 10 %
    ({"intense_complete": 101}, "3+"),
    ({"intense_complete": 100}, "2+"),
    ({"intense_complete": 1}, "2+"),
    ({"moderate_complete": 101}, "2+"),
    ({"moderate_complete": 100}, "0"),
    ({"faint_complete": 101}, "2+"),
    ({"faint_complete": 100}, "0"),
    ({"faint_incomplete": 101}, "1+"),
    ({"faint_incomplete": 100}, "0"),
    ({"faint_lateral": 101}, "1+"),
    ({"faint_lateral": 100}, "0"),
    ({}, "0"),
    ({"moderate_incomplete": 101}, "2+"),
    ({"moderate_incomplete": 100}, "0"),
    ({"moderate_lateral": 101}, "2+"),
    ({"intense_incomplete": 101}, "2+"),
    ({"intense_lateral": 101}, "2+"),
    ({"intense_lateral": 100}, "0"),
    # shares are cumulative
    ({"moderate_complete": 80, "faint_incomplete": 80}, "1+"),
    ({"faint_complete": 60, "moderate_complete": 41}, "2+"),
    ({"moderate_incomplete": 60, "faint_incomplete": 41}, "1+"),
    ({"moderate_incomplete": 60, "moderate_complete": 41}, "2+"),
]


@pytest.mark.parametrize(("cells", "score"), BREAST_EDGES)
def test_breast_2018(counts_of, cells, score):
    assert evaluate(counts_of(of_thousand(**cells)), BREAST_2018).score == score


@pytest.mark.parametrize("guideline", [BREAST_2013, CSCO_2021], ids=lambda table: table.key)
@pytest.mark.parametrize(("cells", "score"), BREAST_EDGES)
def test_breast_2013_and_csco_share_these_edges(counts_of, guideline, cells, score):
    assert evaluate(counts_of(of_thousand(**cells)), guideline).score == score


def test_incomplete_and_weak_complete_add_up_in_2013_and_csco_only(counts_of):
    mixed = counts_of(of_thousand(faint_complete=60, moderate_incomplete=41))
    assert evaluate(mixed, BREAST_2013).score == "2+"
    assert evaluate(mixed, CSCO_2021).score == "2+"
    verdict = evaluate(mixed, BREAST_2018)
    assert verdict.score == "1+"
    assert len(verdict.notes) == 2


@pytest.mark.parametrize(
    ("cells", "score"),
    [
        ({"intense_complete": 100}, "3+"),
        ({"intense_lateral": 100}, "3+"),
        ({"intense_lateral": 50, "intense_complete": 50}, "3+"),
        ({"intense_lateral": 99}, "0"),
        ({"intense_lateral": 99, "faint_lateral": 1}, "2+"),
        ({"moderate_lateral": 100}, "2+"),
        ({"moderate_complete": 100}, "2+"),
        ({"faint_complete": 100}, "2+"),
        ({"faint_lateral": 100}, "2+"),
        ({"faint_lateral": 99}, "0"),
        ({"faint_incomplete": 100}, "1+"),
        ({"faint_incomplete": 99}, "0"),
        ({"moderate_incomplete": 100}, "1+"),
        ({}, "0"),
    ],
)
def test_gastric_resection_counts_ten_percent_itself(counts_of, cells, score):
    assert evaluate(counts_of(of_thousand(**cells)), GASTRIC_RESECTION).score == score


@pytest.mark.parametrize(
    ("sizes", "score"),
    [((5, 5, 5), "3+"), ((4, 5, 9), "2+"), ((4, 4, 5), "1+"), ((4, 4, 4), "0"), ((0, 0, 0), "0")],
)
def test_gastric_biopsy_by_cluster_at_any_percentage(counts_of, sizes, score):
    counts = counts_of({"intense complete": 5, "none": 99_995})
    assert evaluate(counts, GASTRIC_BIOPSY, clusters=sizes).score == score


def test_cluster_guideline_without_clusters_is_an_error(counts_of):
    with pytest.raises(ScoringError, match="centroids"):
        evaluate(counts_of({"none": 5}), GASTRIC_BIOPSY)


def test_no_measured_cells_cannot_be_scored(counts_of):
    with pytest.raises(ScoringError, match="No measured cells to score"):
        evaluate(counts_of({}), BREAST_2018)


@pytest.mark.parametrize("n", [1, 7, 9, 10, 11, 99, 100, 109, 110, 1_000_003])
def test_cutoff_bounds_are_exact_integers(n):
    low, high = Cutoff("above", 10).bounds(n)
    assert 10 * low > n >= 10 * (low - 1)
    assert high == n
    low, _ = Cutoff("at least", 10).bounds(n)
    assert 10 * low >= n
    assert low == 1 or 10 * (low - 1) < n
    low, high = Cutoff("up to", 10).bounds(n, 3)
    assert low == 4
    assert 10 * high <= n < 10 * (high + 1)


@pytest.mark.parametrize("guideline", [BREAST_2018, BREAST_2013, CSCO_2021], ids=lambda table: table.key)
@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"moderate_complete": 80, "faint_incomplete": 80}, "complete weak or moderate staining"),
        ({"faint_complete": 1}, "complete weak or moderate staining"),
        ({"moderate_lateral": 100}, "moderate or intense incomplete staining"),
        ({"intense_incomplete": 5}, "moderate or intense incomplete staining"),
    ],
)
def test_uncovered_patterns_are_always_noted(counts_of, guideline, cells, words):
    notes = evaluate(counts_of(of_thousand(**cells)), guideline).notes
    assert len(notes) == 1
    assert notes[0].startswith("pattern_not_covered: ")
    assert words in notes[0]
    share = sum(number for name, number in cells.items() if name != "faint_incomplete") / 10
    assert notes[0].endswith(f" ({share:g} %)")


@pytest.mark.parametrize(
    "cells",
    [
        {"faint_incomplete": 300},
        {"moderate_complete": 500},
        {"intense_complete": 50},
        {"moderate_incomplete": 101},
    ],
)
def test_covered_patterns_have_no_note(counts_of, cells):
    assert evaluate(counts_of(of_thousand(**cells)), BREAST_2018).notes == ()


def test_heterogeneous_row_needs_more_cells_than_the_noise_floor(counts_of):
    five = counts_of({"intense complete": 5, "none": 995})
    assert evaluate(five, BREAST_2018, false_calls=4).score == "2+"
    verdict = evaluate(five, BREAST_2018, false_calls=5)
    assert verdict.score == "0"
    assert verdict.notes == (
        "pattern_not_covered: intense complete staining in <= 10 % (0.5 %, within the noise floor)",
    )


def test_gastric_partial_staining_is_noted(counts_of):
    verdict = evaluate(counts_of({"moderate incomplete": 50, "none": 50}), GASTRIC_RESECTION)
    assert verdict.score == "1+"
    assert "only part of the membrane" in verdict.notes[0]


ALL_FACTS = [(i, p) for i in range(4) for p in range(4)]
BREAST_CLASSES = [[0, 0, 0, 0], [0, 1, 1, 2], [0, 2, 2, 2], [0, 2, 2, 3]]
GASTRIC_CLASSES = [[0, 0, 0, 0], [0, 1, 2, 2], [0, 1, 2, 2], [0, 1, 3, 3]]


@pytest.mark.parametrize("guideline", GUIDELINES.values(), ids=GUIDELINES)
def test_cell_classes_of_all_sixteen_pairs(guideline):
    intensity, pattern = (np.array(column, np.uint8) for column in zip(*ALL_FACTS, strict=True))
    expected = BREAST_CLASSES if guideline.site == "breast" else GASTRIC_CLASSES
    assert cell_classes(intensity, pattern, guideline).reshape(4, 4).tolist() == expected


def test_not_measured_stays_not_measured():
    intensity, pattern = np.array([255, 3, 3], np.uint8), np.array([3, 255, 3], np.uint8)
    assert cell_classes(intensity, pattern, BREAST_2018).tolist() == [255, 255, 3]
    assert fact_counts(intensity, pattern).sum() == 1


def test_bad_codes_and_lengths_are_reported():
    good = np.zeros(3, np.uint8)
    with pytest.raises(ScoringError, match="pattern of cell 1 is 4"):
        cell_classes(good, np.array([0, 4, 0], np.uint8), BREAST_2018)
    with pytest.raises(
        ScoringError, match=r"intensity \(3,\) and pattern \(2,\) must be 1-D and of the same length"
    ):
        fact_counts(good, good[:2])


@st.composite
def more_stain(draw):
    """Return (counts, counts of the same cells where up to 3 of each pair stain more)."""
    numbers = draw(st.lists(st.integers(0, 40), min_size=16, max_size=16).filter(any))
    before = np.array(numbers, np.int64).reshape(4, 4)
    after = np.zeros_like(before)
    for intensity, pattern in ALL_FACTS:
        for _ in range(min(before[intensity, pattern], 3)):
            up = (draw(st.integers(intensity, 3)), draw(st.integers(pattern, 3)))
            after[up] += 1
        after[intensity, pattern] += max(before[intensity, pattern] - 3, 0)
    return before, after


@given(pair=more_stain(), guideline=st.sampled_from(SHARE_TABLES), false_calls=st.integers(0, 5))
def test_more_stain_never_lowers_a_score(pair, guideline, false_calls):
    before, after = pair
    assert before.sum() == after.sum()
    low = evaluate(before, guideline, false_calls=false_calls).score
    assert evaluate(after, guideline, false_calls=false_calls).score >= low
