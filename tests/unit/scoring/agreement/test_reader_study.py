"""Studies of drawn readers: each figure is that of its own function, and differences go the right way."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from qupath_her2.scoring.agreement.kappa import BootstrapSettings
from qupath_her2.scoring.agreement.reader_study import reader_study
from tests.unit.scoring.agreement.reader_panels import noisy, panel

FAST = BootstrapSettings(draws=300)


def figure(figures, name, round_name="1"):
    return next(one for one in figures if one.name == name and one.round == round_name)


def test_means_are_those_of_scikit_learn():
    codes = noisy(0, 40, 4, 0.4)
    scores = reader_study(panel(codes[None], machine=3), FAST).scales[0]
    readers = [
        cohen_kappa_score(codes[:, a], codes[:, b], weights="linear")
        for a, b in itertools.combinations(range(3), 2)
    ]
    machine = [cohen_kappa_score(codes[:, 3], codes[:, reader], weights="linear") for reader in range(3)]
    found = figure(scores.figures, "mean kappa of readers (linear)").estimate
    assert found.value == pytest.approx(np.mean(readers), abs=1e-9)
    assert found.low < found.value < found.high
    found = figure(scores.figures, "mean kappa of machine and reader (linear)").estimate
    assert found.value == pytest.approx(np.mean(machine), abs=1e-9)
    assert [one.kind for one in scores.comparisons].count("machine") == 3
    assert [one.kind for one in scores.comparisons].count("readers") == 3


def test_a_better_round_and_a_better_machine_are_told_with_intervals_above_0():
    poor, good = noisy(1, 80, 5, 0.6), noisy(1, 80, 5, 0.05)
    # The machine misses nothing; it is the last column of both rounds.
    truth = noisy(1, 80, 1, 0.0)
    study = reader_study(panel([np.hstack([poor, truth]), np.hstack([good, truth])], machine=5), FAST)
    found = {(one.name, one.between): one.estimate for one in study.scales[0].differences}
    assert found["Fleiss' kappa", "round 2 - round 1"].low > 0.2
    assert found["mean kappa (linear)", "round 1: machine - readers"].low > 0.05
    assert {one.name for one in study.number_differences} == {
        "ICC(2,1)",
        "ICC(3,1)",
        "Krippendorff's alpha (interval)",
    }


def test_rounds_of_one_reader_are_compared_with_each_other():
    first = noisy(2, 30, 2, 0.3)
    second = first.copy()
    second[:6, 1] = (second[:6, 1] + 1) % 4
    rounds = [
        one
        for one in reader_study(panel([first, second]), FAST).scales[0].comparisons
        if one.kind == "rounds"
    ]
    assert [(one.reader, one.first, one.second, one.figures.agreement.k) for one in rounds] == [
        ("R0", "1", "2", 30),
        ("R1", "1", "2", 24),
    ]
    assert rounds[0].figures.kappa["none"].value == 1


def test_scores_are_also_compared_as_groups():
    codes = np.array([[[0, 0], [1, 2], [2, 3], [3, 3]]])
    study = reader_study(panel(codes, ish=[None, False, True, None]), FAST)
    scores, groups = study.scales
    assert groups.classes == ("null", "low", "positive")
    # By ISH the second and third slide are no disagreement any more.
    assert next(one for one in scores.comparisons).figures.agreement.k == 2
    assert next(one for one in groups.comparisons).figures.agreement.k == 4


def test_missing_readings_are_counted_and_warned_of():
    codes = noisy(3, 30, 3, 0.2)[None].copy()
    codes[0, :5, 1] = -1
    study = reader_study(panel(codes, not_assessable=2), FAST)
    assert figure(study.scales[0].figures, "Fleiss' kappa").slides == 25
    assert figure(study.numbers, "ICC(2,1)").slides == 25
    assert figure(study.scales[0].figures, "Krippendorff's alpha (ordinal)").slides == 30
    assert any("5 of 90 readings are missing" in one for one in study.warnings)
    assert any("2 readings are 'not assessable'" in one for one in study.warnings)
    assert any("called 2+ have no ISH result" in one for one in study.warnings)


def test_one_reader_and_few_cases_are_said():
    study = reader_study(panel(noisy(4, 6, 1, 0.0)[None]), FAST)
    assert study.numbers == ()
    assert any("one reader alone" in one for one in study.warnings)
    assert any("only 6 cases" in one for one in study.warnings)


def test_times_are_quartiles_of_people():
    codes = noisy(5, 4, 2, 0.0)[None]
    seconds = np.full(codes.shape, np.nan)
    seconds[0, :, 0] = [10, 20, 30, 40]
    seconds[0, :, 1] = 1
    (time,) = reader_study(panel(codes, machine=1, seconds=seconds), FAST).times
    assert (time.reader, time.round, time.n, time.median_s, time.low_s) == ("R0", "1", 4, 25, 17.5)
