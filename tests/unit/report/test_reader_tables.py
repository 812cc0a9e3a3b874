"""CSV of a reader study: every figure and every cell once."""

from __future__ import annotations

import csv
import io

import numpy as np

from qupath_her2.report.reader_tables import study_csv
from qupath_her2.scoring.agreement.kappa import BootstrapSettings
from qupath_her2.scoring.agreement.reader_study import reader_study
from tests.unit.scoring.agreement.reader_panels import noisy, panel


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


def test_all_figures_and_cells_are_in_the_files():
    codes = np.stack([noisy(0, 30, 3, 0.3), noisy(0, 30, 3, 0.1)])
    seconds = np.full(codes.shape, 7.0)
    study = reader_study(panel(codes, machine=0, seconds=seconds), BootstrapSettings(draws=50))
    figures, matrices = (rows(data) for data in study_csv(study))
    scores = [row for row in figures if row["scale"] == "scores"]
    pair = [row for row in scores if row["comparison"] == "two readers" and row["round"] == "2"]
    assert [(row["figure"], row["first"], row["second"]) for row in pair] == [
        (figure, "R1", "R2")
        for figure in ("agreement", "kappa (none)", "kappa (linear)", "kappa (quadratic)")
    ]
    same = (codes[1, :, 1] == codes[1, :, 2]).mean()
    assert float(pair[0]["value"]) == round(same, 6)
    # One pair of readers, two of machine and reader, each in 2 rounds; two readers' own rounds; 4 figures each.
    assert (
        sum(row["comparison"] in ("two readers", "machine and reader", "two rounds") for row in scores) == 32
    )
    assert {row["value"] for row in figures if row["comparison"] == "time"} == {"7.000000"}
    cell = next(row for row in matrices if row["scale"] == "scores" and row["readings"] != "0")
    assert sum(int(part.split(" x ")[1]) for part in cell["slides"].split("; ")) == int(cell["readings"])
