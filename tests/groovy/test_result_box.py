"""What the box of a result says, and the cells that its button selects."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qupath_her2.cells.staining_columns import DECIDING, PATTERN
from qupath_her2.project.exchange.runs import read_run
from tests.groovy.conftest import SCRIPTS
from tests.groovy.fields import HERE, closing, make_fields
from tests.helpers.qupath import QuPath

SHARES = {"Tumor: Negative": 0.5, "Tumor: 1+": 0.2, "Tumor: 2+": 0.2, "Tumor: 3+": 0.1}
REGION = {"score": "2+", "n_cells": 100, "h_score": 90.04, "shares": SHARES, "refusal_code": None}


def said_of(
    qupath: QuPath, folder: Path, score: dict[str, Any], regions: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return what the box says of a run with this score and these regions."""
    (folder / "score.json").write_text(json.dumps(score), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps({"regions": regions}), encoding="utf-8")
    words = [word for path in (folder, SCRIPTS / "lib") for word in ("--args", str(path))]
    done = qupath.run(HERE / "result_text.groovy", *words, private=folder / "private")
    lines = [line for line in done.stdout.splitlines() if line.startswith("TEXT ")]
    assert lines, done.stdout + done.stderr
    content: dict[str, Any] = json.loads(lines[0].removeprefix("TEXT "))
    return content


def test_the_box_says_what_the_report_says(qupath: QuPath, tmp_path: Path) -> None:
    score = {
        **REGION,
        "n_cells": 1250,
        "guideline": "ASCO/CAP breast 2018/2023",
        "guideline_origin": "default",
        "cells_to_next_score": 1024,
        "tags": ["stable at cut-points ±10 %"],
        "warnings": [f"Warning {number}." for number in range(7)],
        "regions": {
            **{f"id{number}": REGION for number in range(12)},
            "id12": {**REGION, "score": None, "refusal_code": "too_few_cells", "n_cells": 4},
        },
    }
    regions = [{"uuid": f"id{number}", "class": "Tumor", "name": None} for number in range(13)]
    regions[1]["name"] = "left lobe"
    said = said_of(qupath, tmp_path, score, regions)
    assert said["sentence"] == "First."
    assert said["notes"] == [
        "Second.",
        "Guideline: ASCO/CAP breast 2018/2023 (default).",
        "1,024 cells in other classes would change the score.",
        "Stable at cut-points ±10 %.",
    ]
    assert said["warnings"] == [*(f"Warning {number}." for number in range(5)), "2 more, all in the report"]
    heads, image, first, named, *rest = said["table"]
    assert heads == ["", "Score", "Cells", "Negative", "1+", "2+", "3+", "H-score"]
    assert image == ["Image", "2+", "1,250", "50.0 %", "20.0 %", "20.0 %", "10.0 %", "90.0"]
    assert (first[0], named[0], len(rest)) == ("Tumor 1", "left lobe", 11)
    assert rest[-1][0] == "and 1 more, all in the report"
    assert said["isScored"] is True
    assert "counts the deciding cells" in said["explanation"]


def test_a_refusal_has_no_table_and_nothing_to_select(qupath: QuPath, tmp_path: Path) -> None:
    score = {
        "score": None,
        "guideline": "CSCO breast 2021",
        "refusal_code": "out_of_focus",
        "shares": {},
        "tags": [],
        "warnings": [],
        "regions": {},
    }
    said = said_of(qupath, tmp_path, score, [])
    assert said["notes"] == ["Second.", "Guideline: CSCO breast 2021."]
    assert said["table"] == []
    assert said["isScored"] is False
    assert "explanation" not in said


@pytest.mark.qupath
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script")
def test_deciding_cells_are_selected_in_qupath(qupath: QuPath, tmp_path: Path) -> None:
    fields = make_fields(qupath, tmp_path / "a study", tmp_path / "private", ("3+",))
    said = fields.on_image("select_cells.groovy")
    assert "Score the image first: Extensions > HER2 > Score open image." in said
    assert closing(fields.on_image("score_image.groovy", "-s"))["score"] == "3+"
    (folder,) = (path.parent for path in (fields.her2 / "results").glob("1_*/*/run.json"))
    _, table, score = read_run(folder)
    assert table is not None
    deciding = table.column(DECIDING)
    # A 3+ is decided by the cells of class 3+, as many as the sentence counts.
    n_three = int((table.cell_class == 3).sum())
    assert int(np.nansum(deciding)) == n_three
    assert f"{100 * n_three / score.n_cells:.1f} % of {score.n_cells:,} tumour cells" in score.reason
    chosen = closing(fields.on_image("select_cells.groovy"))
    assert chosen == {"selected": str(n_three), "of": str(len(table))}
    complete = closing(fields.on_image("select_cells.groovy", "--args", "cells=Pattern: complete"))
    assert int(complete["selected"]) == int((table.column(PATTERN) == 3).sum()) > n_three
    assert "Unknown argument 'blue'" in fields.on_image("select_cells.groovy", "--args", "cells=blue")
