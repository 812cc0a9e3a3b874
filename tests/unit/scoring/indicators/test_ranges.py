"""The published table at its edges, in its overlaps and gaps; refit; JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.errors import OutputError, ScoringError, SettingsError
from qupath_her2.scoring.indicators.fit_ranges import fit
from qupath_her2.scoring.indicators.ranges import (
    PUBLISHED,
    IndicatorRanges,
    decide,
    load_ranges,
    nearest_by_ratios,
    save_ranges,
)

ALONE = ("intensity",)
NAN = float("nan")


@pytest.mark.parametrize(
    ("intensity", "score"),
    [
        (0.0, "0"),
        (0.0059, "0"),
        (0.0081, "1+"),
        (0.145, "1+"),
        (0.190, "2+"),
        (0.367, "2+"),
        (0.541, "3+"),
        (0.611, "3+"),
        (0.95, "3+"),  # browner than any slide seen
        # the gap 0.367 to 0.541: the nearer edge
        (0.453, "2+"),
        (0.455, "3+"),
        # overlaps: the nearer middle (0.0975 of 1+, 0.2565 of 2+; 0.004 of 0)
        (0.150, "1+"),
        (0.176, "1+"),
        (0.178, "2+"),
        (0.007, "0"),
    ],
)
def test_intensity_alone(intensity, score):
    assert decide((intensity, NAN, NAN), use=ALONE).score == score
    # Ratios are not looked at.
    assert decide((intensity, 0.9, 0.9), use=ALONE).score == score


@pytest.mark.parametrize(
    ("values", "score", "candidates", "by"),
    [
        ((0.007, 0.02, 0.0), "0", ("0", "1+"), "cell ratios"),
        ((0.007, 0.02, 0.1), "1+", ("0", "1+"), "cell ratios"),
        ((0.16, 0.10, 0.2), "1+", ("1+", "2+"), "cell ratios"),
        ((0.16, 0.20, 0.6), "2+", ("1+", "2+"), "cell ratios"),
        ((0.40, 0.15, 0.6), "2+", ("2+", "3+"), "cell ratios"),
        ((0.40, 0.33, 0.9), "3+", ("2+", "3+"), "cell ratios"),
        ((0.40, 0.90, 0.5), "3+", ("2+", "3+"), "cell ratios"),
        # both ranges of both ratios hold: the gap's nearer edge decides
        ((0.40, 0.20, 0.6), "2+", ("2+", "3+"), "nearest range"),
        ((0.50, 0.20, 0.6), "3+", ("2+", "3+"), "nearest range"),
        ((0.40, NAN, NAN), "2+", ("2+", "3+"), "nearest range"),
        # one candidate: the ratios cannot overrule the intensity
        ((0.30, 0.0, 0.0), "2+", ("2+",), "intensity"),
    ],
)
def test_all_three(values, score, candidates, by):
    decision = decide(values)
    assert (decision.score, decision.candidates, decision.by) == (score, candidates, by)
    assert decision.margin >= 0


def test_the_middle_of_every_published_range_is_its_score():
    for grade, score in enumerate(("0", "1+", "2+", "3+")):
        middle = [sum(PUBLISHED.ranges[name][grade]) / 2 for name in PUBLISHED.ranges]
        assert decide(middle).score == score


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_browner_is_never_scored_lower_by_intensity(first, second, positive, closed):
    low, high = sorted((first, second))
    assert (
        decide((low, positive, closed), use=ALONE).score <= decide((high, positive, closed), use=ALONE).score
    )


def test_what_the_ratios_alone_would_say():
    assert nearest_by_ratios((0.3, 0.02, 0.0)) == ("0",)
    assert nearest_by_ratios((0.3, 0.20, 0.5)) == ("2+", "3+")
    assert len(nearest_by_ratios((0.3, NAN, NAN))) == 4


@pytest.mark.parametrize("values", [(0.1, 0.1), (1.1, 0.1, 0.1), (-0.1, 0.1, 0.1), (NAN, 0.1, 0.1)])
def test_impossible_values(values):
    with pytest.raises(ScoringError, match="Indicators are intensity"):
        decide(values)


def labelled(cases_per_score=4, seed=0):
    """Well-parted labelled slides, two of each case."""
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
    found = fit(table, labels, cases, name="ours")
    assert found.n_cases == 16
    assert (found.tested, found.right) == (16, 16)
    means = table.reshape(-1, 2, 3).mean(axis=1)
    threes = means[-4:, 0]
    assert found.ranges["intensity"][3] == pytest.approx((threes.min(), threes.max()))


def test_fit_without_case_names_takes_each_slide_for_a_case():
    table, labels, _ = labelled()
    assert fit(table, labels).n_cases == 32


def test_labels_without_meaning_score_near_chance_when_held_out():
    table, labels, cases = labelled(8, seed=1)
    shuffled = np.random.default_rng(2).permutation(len(cases) // 2)
    mixed = [labels[2 * k] for k in shuffled for _ in range(2)]
    found = fit(table, mixed, cases)
    assert found.tested == 32
    assert found.right < 20


def test_the_only_case_of_a_score_cannot_be_held_out():
    table, labels, cases = labelled(1)
    assert (fit(table, labels, cases).tested, fit(table, labels, cases).right) == (0, 0)


def test_fit_leaves_out_what_was_not_measured():
    table, labels, cases = labelled()
    table[0, 1] = NAN
    assert fit(table, labels, cases).ranges["positive_ratio"][0][1] <= 0.031
    table[np.array(labels) == "0", 1] = NAN
    with pytest.raises(ScoringError, match="no case labelled 0 has a measured positive_ratio"):
        fit(table, labels, cases)


def test_fit_names_what_is_wrong():
    table, labels, cases = labelled()
    with pytest.raises(ScoringError, match="labelled 2\\+"):
        fit(table[:16], labels[:16], cases[:16])
    with pytest.raises(ScoringError, match="'4\\+' are not among"):
        fit(table, ["4+", *labels[1:]], cases)
    with pytest.raises(ScoringError, match="31, 32"):
        fit(table, labels[1:], cases)


def test_ranges_come_back_from_json(tmp_path):
    for ranges in (PUBLISHED, fit(*labelled())):
        save_ranges(ranges, tmp_path / "ranges.json")
        assert load_ranges(tmp_path / "ranges.json") == ranges


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"scores": ["0"]}, {"ranges": {}}, {"ranges": [1]}, {"n_cases": None},
     {"ranges": {"intensity": [[0.2, 0.1]] * 4}}],
)  # fmt: skip
def test_damaged_ranges_are_refused(tmp_path, change):
    path = tmp_path / "ranges.json"
    save_ranges(PUBLISHED, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(SettingsError):
        load_ranges(path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(SettingsError, match="Cannot read"):
        load_ranges(tmp_path / "none.json")
    with pytest.raises(OutputError, match="Cannot write"):
        save_ranges(PUBLISHED, tmp_path / "no folder" / "ranges.json")


def test_ranges_are_checked():
    with pytest.raises(SettingsError, match="circumferential_ratio needs four"):
        IndicatorRanges(
            "short", dict.fromkeys(("intensity", "positive_ratio"), PUBLISHED.ranges["intensity"]), 1
        )
