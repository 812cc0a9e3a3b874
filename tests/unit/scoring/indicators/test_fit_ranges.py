"""Refitting of the indicator ranges on drawn cases."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.errors import ScoringError
from qupath_her2.scoring.indicators.fit_ranges import fit_ranges

NAN = float("nan")


def labelled(cases_per_score=4, seed=0):
    """Return well-separated labelled slides, two per case."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.01, 0.02, 0.0], [0.10, 0.2, 0.1], [0.3, 0.5, 0.4], [0.6, 0.9, 0.8]])
    rows, labels, cases = [], [], []
    for grade, score in enumerate(("0", "1+", "2+", "3+")):
        for case in range(cases_per_score):
            for _ in range(2):
                rows.append(np.clip(centres[grade] + rng.uniform(-0.01, 0.01, 3), 0, 1))
                labels.append(score)
                cases.append(f"{score} {case}")
    return np.array(rows), labels, cases


def test_fit_counts_a_case_once():
    table, labels, cases = labelled()
    found = fit_ranges(table, labels, cases, name="ours").ranges
    assert found.n_cases == 16
    assert (found.tested, found.right) == (16, 16)
    means = table.reshape(-1, 2, 3).mean(axis=1)
    threes = means[-4:, 0]
    assert found.ranges["intensity"][3] == pytest.approx((threes.min(), threes.max()))


def test_without_case_names_each_slide_is_a_case():
    table, labels, _ = labelled()
    assert fit_ranges(table, labels).ranges.n_cases == 32


def test_shuffled_labels_score_near_chance_when_held_out():
    table, labels, cases = labelled(8, seed=1)
    shuffled = np.random.default_rng(2).permutation(len(cases) // 2)
    mixed = [labels[2 * k] for k in shuffled for _ in range(2)]
    found = fit_ranges(table, mixed, cases)
    assert found.ranges.tested == 32
    assert found.ranges.right < 20
    by_hand = sum(one.by_all == one.label for one in found.held_out)
    assert found.ranges.right == by_hand
    assert len(found.held_out) == 32


def test_the_only_case_of_a_score_cannot_be_held_out():
    table, labels, cases = labelled(1)
    found = fit_ranges(table, labels, cases)
    assert (found.ranges.tested, found.ranges.right) == (0, 0)
    assert {one.by_all for one in found.held_out} == {None}


def test_missing_measurements_are_ignored():
    table, labels, cases = labelled()
    table[0, 1] = NAN
    assert fit_ranges(table, labels, cases).ranges.ranges["positive_ratio"][0][1] <= 0.031
    table[np.array(labels) == "0", 1] = NAN
    with pytest.raises(ScoringError, match="no case labelled 0 has a measured positive_ratio"):
        fit_ranges(table, labels, cases)


def test_a_held_out_case_does_not_widen_the_table_that_scores_it():
    table, labels, cases = labelled()
    # One 2+ case as dark as 3+: with itself in the table 0.6 would be 2+ as well, without it it is 3+.
    rows = [row for row, case in enumerate(cases) if case == "2+ 0"]
    table[rows] = [0.6, 0.9, 0.8]
    (one,) = [held for held in fit_ranges(table, labels, cases).held_out if held.case == "2+ 0"]
    assert (one.label, one.by_all, one.by_intensity) == ("2+", "3+", "3+")


def test_errors_say_what_is_wrong():
    table, labels, cases = labelled()
    with pytest.raises(ScoringError, match="labelled 2\\+"):
        fit_ranges(table[:16], labels[:16], cases[:16])
    with pytest.raises(ScoringError, match=r"Unknown labels '4\+'; expected 0, 1\+"):
        fit_ranges(table, ["4+", *labels[1:]], cases)
    with pytest.raises(ScoringError, match="31, 32"):
        fit_ranges(table, labels[1:], cases)
