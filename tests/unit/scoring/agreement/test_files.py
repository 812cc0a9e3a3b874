"""Agreement files: JSON with every figure, CSV for spreadsheets, and write errors."""

from __future__ import annotations

import csv
import io
import json

import pytest

from qupath_her2.errors import OutputError
from qupath_her2.scoring.agreement.files import agreement_csv, agreement_json, write_agreement
from qupath_her2.scoring.agreement.kappa import BootstrapSettings
from qupath_her2.scoring.agreement.pairs import make_pairs
from qupath_her2.scoring.agreement.study import agreement, agreement_over_folds, figures_of

SCORES = ("0", "1+", "2+", "3+")
FEW = BootstrapSettings(draws=100)


def test_json_holds_every_figure_with_null_where_there_is_none():
    found = agreement(make_pairs(["0", "1+"], ["0", "1+"], SCORES), settings=FEW)
    value = json.loads(agreement_json(found, agreement_over_folds([found])))
    assert value["format"] == 1
    assert value["accuracy"] == {"value": 1.0, "k": 2, "n": 2, "interval": list(found.accuracy.interval)}
    assert value["classes"][3]["sensitivity"]["value"] is None
    assert value["matrix"] == found.matrix.tolist()
    assert value["macro_auc"] is None
    assert {fold["name"] for fold in value["folds"]} == set(figures_of(found))


def test_csv_holds_the_tables_and_runs_no_formula(study, tmp_path):
    found = agreement(study(), truth_by="=HYPERLINK(1)", settings=FEW)
    rows = list(csv.reader(io.StringIO(agreement_csv(found).decode("utf-8-sig"))))
    assert ["truth set by", "'=HYPERLINK(1)"] in rows
    assert ["truth \\ answer", *SCORES, "all"] in rows
    paths = write_agreement(tmp_path / "new", found)
    assert [path.name for path in paths] == ["agreement.json", "agreement.csv"]
    assert paths[1].read_bytes() == agreement_csv(found)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["agreement.csv", "agreement.json"]


def test_a_folder_that_is_a_file_is_an_output_error(study, tmp_path):
    (tmp_path / "here").write_text("x")
    with pytest.raises(OutputError):
        write_agreement(tmp_path / "here", agreement(study(), settings=FEW))
