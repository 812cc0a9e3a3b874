"""All figures together, their warnings, their spread over folds, and how they are written."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest

from qupath_her2.errors import OutputError, ScoringError
from qupath_her2.scoring.agreement.confusion_matrix import Share
from qupath_her2.scoring.agreement.files import agreement_csv, agreement_json, write_agreement
from qupath_her2.scoring.agreement.kappa import BootstrapSettings
from qupath_her2.scoring.agreement.pairs import make_pairs
from qupath_her2.scoring.agreement.study import agreement, agreement_over_folds, figures_of
from qupath_her2.scoring.agreement.tables import agreement_tables, fold_table, table_text

SCORES = ("0", "1+", "2+", "3+")
FEW = BootstrapSettings(draws=100)


def study(n=40, seed=2, accuracy=0.75, **more):
    """`n` pairs of which about `accuracy` agree; slides of cases of two unless said otherwise."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 4
    answer = np.where(rng.random(n) < accuracy, truth, rng.integers(0, 4, n))
    probabilities = np.full((n, 4), 0.1)
    probabilities[np.arange(n), answer] = 0.7
    names = np.array(SCORES)
    settings = {
        "cases": [f"c{i // 2}" for i in range(n)],
        "level": "slide",
        "probabilities": probabilities,
    } | more
    return make_pairs(names[truth].tolist(), names[answer].tolist(), SCORES, **settings)


def test_every_figure_is_there_and_of_the_same_pairs():
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


def test_classes_without_order_have_no_cuts():
    pairs = make_pairs(["a", "b", "c"], ["a", "b", "a"], ("a", "b", "c"), is_ordered=False)
    found = agreement(pairs, settings=FEW)
    assert (found.cuts, found.off_by_two, found.equivocal_truth) == ((), None, None)
    assert set(found.kappa) == {"none"}


@pytest.mark.parametrize(
    ("changes", "split", "expected"),
    [
        ({"level": "patch"}, None, "patch-level, leakage possible: pictures of one case may"),
        ({"level": "patch"}, False, "patch-level, leakage possible"),
        ({"level": "patch"}, True, "patch-level, split by case"),
        ({"level": "patch", "cases": None}, True, "the case of 40 of 40 is not known"),
        ({"level": "slide", "cases": None}, True, "patch-level, leakage possible: the case of 40"),
        ({"level": "slide"}, False, "patch-level, leakage possible"),
    ],
)
def test_figures_that_may_flatter_themselves_say_so(changes, split, expected):
    found = agreement(study(**changes), is_split_by_case=split, settings=FEW)
    assert expected in found.warnings[0]
    assert any(expected in note for note in agreement_tables(found)[0].notes)


def test_absent_classes_and_few_cases_are_said():
    found = agreement(make_pairs(["0", "1+"], ["0", "1+"], SCORES), settings=FEW)
    assert "no assessed pair is truly 2+, 3+" in found.warnings[0]
    assert "only 2 assessed cases" in found.warnings[1]
    assert math.isnan(found.macro_f1)


def test_nothing_to_compare_is_an_error():
    with pytest.raises(ScoringError, match="2 pairs, none with a true class"):
        agreement(make_pairs([None, None], ["0", "0"], SCORES))


def test_folds_have_mean_and_sd_of_every_figure():
    folds = [agreement(study(seed=seed), settings=FEW) for seed in range(4)]
    figures = {one.name: one for one in agreement_over_folds(folds)}
    values = [fold.accuracy.value for fold in folds]
    assert figures["accuracy"].values == tuple(values)
    assert figures["accuracy"].mean == pytest.approx(np.mean(values))
    assert figures["accuracy"].sd == pytest.approx(np.std(values, ddof=1))
    assert set(figures) == set(figures_of(folds[0]))
    assert "F1 2+" in figures


def test_a_fold_without_a_value_is_left_out_of_the_mean_and_shown():
    whole = agreement(study(), settings=FEW)
    poor = agreement(make_pairs(["0"] * 3, ["0"] * 3, SCORES), settings=FEW)
    figures = {one.name: one for one in agreement_over_folds([whole, poor])}
    assert figures["kappa (linear)"].mean == whole.kappa["linear"].value
    assert math.isnan(figures["kappa (linear)"].sd)
    assert "–" in table_text(fold_table(list(figures.values())))


def test_folds_of_different_classes_are_refused():
    other = agreement(make_pairs(["a", "b"], ["a", "b"], ("a", "b")), settings=FEW)
    with pytest.raises(ScoringError, match="same classes"):
        agreement_over_folds([agreement(study(), settings=FEW), other])
    with pytest.raises(ScoringError, match="no folds"):
        agreement_over_folds([])


def test_tables_are_rectangular_and_say_research_use_only():
    tables = agreement_tables(agreement(study(), settings=FEW))
    assert [table.title for table in tables] == [
        "Agreement with the truth",
        "Confusion matrix",
        "Each class against the rest",
        "Agreement at each cut",
    ]
    for table in tables:
        assert {len(row) for row in table.rows} == {len(table.header)}
        lines = table_text(table).splitlines()
        assert lines[0] == table.title
        assert len(lines) == 3 + len(table.rows) + len(table.notes)
    assert "research use only" in tables[0].notes


def test_json_holds_every_figure_with_null_where_there_is_none():
    found = agreement(make_pairs(["0", "1+"], ["0", "1+"], SCORES), settings=FEW)
    value = json.loads(agreement_json(found, agreement_over_folds([found])))
    assert value["format"] == 1
    assert value["accuracy"] == {"value": 1.0, "k": 2, "n": 2, "interval": list(found.accuracy.interval)}
    assert value["classes"][3]["sensitivity"]["value"] is None
    assert value["matrix"] == found.matrix.tolist()
    assert value["macro_auc"] is None
    assert {fold["name"] for fold in value["folds"]} == set(figures_of(found))


def test_csv_holds_the_tables_and_runs_no_formula(tmp_path):
    found = agreement(study(), truth_by="=HYPERLINK(1)", settings=FEW)
    rows = list(csv.reader(io.StringIO(agreement_csv(found).decode("utf-8-sig"))))
    assert ["truth set by", "'=HYPERLINK(1)"] in rows
    assert ["truth \\ answer", *SCORES, "all"] in rows
    paths = write_agreement(tmp_path / "new", found)
    assert [path.name for path in paths] == ["agreement.json", "agreement.csv"]
    assert paths[1].read_bytes() == agreement_csv(found)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["agreement.csv", "agreement.json"]


def test_a_folder_that_is_a_file_is_an_output_error(tmp_path):
    (tmp_path / "here").write_text("x")
    with pytest.raises(OutputError):
        write_agreement(tmp_path / "here", agreement(study(), settings=FEW))
