"""Agreement studies: all figures, their warnings, and their spread over folds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qupath_her2.errors import ScoringError
from qupath_her2.scoring.agreement.confusion_matrix import Share
from qupath_her2.scoring.agreement.kappa import BootstrapSettings
from qupath_her2.scoring.agreement.pairs import make_pairs
from qupath_her2.scoring.agreement.study import agreement, agreement_over_folds, figures_of
from qupath_her2.scoring.agreement.tables import agreement_tables, fold_table, table_text

SCORES = ("0", "1+", "2+", "3+")
FEW = BootstrapSettings(draws=100)


def test_every_figure_is_computed_from_the_same_pairs(study):
    pairs = study()
    found = agreement(pairs, truth_by="two pathologists", settings=FEW)
    right = int((pairs.truth == pairs.answer).sum())
    assert (found.n, found.n_cases, found.accuracy) == (40, 20, Share(right, 40))
    assert int(found.matrix.sum()) == 40
    assert set(found.kappa) == {"none", "linear", "quadratic"}
    assert found.kappa["linear"].low <= found.kappa["linear"].value <= found.kappa["linear"].high
    assert [cut.name for cut in found.cuts] == ["0|1+", "1+|2+", "2+|3+"]
    assert found.equivocal_truth == Share(10, 40)
    assert found.equivocal_answer == Share(int((pairs.answer == 2).sum()), 40)
    assert found.macro_f1 == pytest.approx(np.mean([one.f1 for one in found.classes]))
    assert 0 <= found.calibration.error <= 1
    assert found.warnings == ()


def test_not_assessable_is_counted_and_never_a_class():
    answers = ["0"] * 6 + [None, "not assessable"]
    found = agreement(make_pairs(["0"] * 4 + ["1+"] * 4, answers, SCORES), settings=FEW)
    assert found.not_assessable == Share(2, 8)
    assert int(found.matrix.sum()) == 6
    assert found.classes[1].sensitivity == Share(0, 2)


def test_nominal_classes_have_no_cutoffs():
    pairs = make_pairs(["a", "b", "c"], ["a", "b", "a"], ("a", "b", "c"), is_ordered=False)
    found = agreement(pairs, settings=FEW)
    assert (found.cuts, found.off_by_two, found.equivocal_truth) == ((), None, None)
    assert set(found.kappa) == {"none"}


@pytest.mark.parametrize(
    ("changes", "split", "expected"),
    [
        ({"level": "patch"}, None, "patch-level, leakage possible: images of one case may"),
        ({"level": "patch"}, False, "patch-level, leakage possible"),
        ({"level": "patch"}, True, "patch-level, split by case"),
        ({"level": "patch", "cases": None}, True, "the case of 40 of 40 pairs is unknown"),
        ({"level": "slide", "cases": None}, True, "patch-level, leakage possible: the case of 40"),
        ({"level": "slide"}, False, "patch-level, leakage possible"),
    ],
)
def test_optimistic_figures_carry_a_warning(study, changes, split, expected):
    found = agreement(study(**changes), is_split_by_case=split, settings=FEW)
    assert expected in found.warnings[0]
    assert any(expected in note for note in agreement_tables(found)[0].notes)


def test_absent_classes_and_few_cases_give_warnings():
    found = agreement(make_pairs(["0", "1+"], ["0", "1+"], SCORES), settings=FEW)
    assert "no assessed pair is truly 2+, 3+" in found.warnings[0]
    assert "only 2 assessed cases" in found.warnings[1]
    assert math.isnan(found.macro_f1)


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ScoringError, match="Nothing to compare: 2 pairs, none with a true class"):
        agreement(make_pairs([None, None], ["0", "0"], SCORES))


def test_folds_have_mean_and_sd_of_every_figure(study):
    folds = [agreement(study(seed=seed), settings=FEW) for seed in range(4)]
    figures = {one.name: one for one in agreement_over_folds(folds)}
    values = [fold.accuracy.value for fold in folds]
    assert figures["accuracy"].values == tuple(values)
    assert figures["accuracy"].mean == pytest.approx(np.mean(values))
    assert figures["accuracy"].sd == pytest.approx(np.std(values, ddof=1))
    assert set(figures) == set(figures_of(folds[0]))
    assert "F1 2+" in figures


def test_a_fold_without_a_value_is_left_out_of_the_mean(study):
    whole = agreement(study(), settings=FEW)
    poor = agreement(make_pairs(["0"] * 3, ["0"] * 3, SCORES), settings=FEW)
    figures = {one.name: one for one in agreement_over_folds([whole, poor])}
    assert figures["kappa (linear)"].mean == whole.kappa["linear"].value
    assert math.isnan(figures["kappa (linear)"].sd)
    assert "–" in table_text(fold_table(list(figures.values())))


def test_folds_of_different_classes_are_refused(study):
    other = agreement(make_pairs(["a", "b"], ["a", "b"], ("a", "b")), settings=FEW)
    with pytest.raises(ScoringError, match="must have the same classes"):
        agreement_over_folds([agreement(study(), settings=FEW), other])
    with pytest.raises(ScoringError, match="no folds"):
        agreement_over_folds([])
