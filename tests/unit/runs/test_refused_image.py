from __future__ import annotations

from pathlib import Path

import numpy as np

from qupath_her2.project.exchange.cell_files import read_cells, write_cells
from qupath_her2.records import CaseInfo, Refusal
from qupath_her2.runs.refused_image import empty_table, refused_image
from qupath_her2.runs.types import ImageContext
from qupath_her2.scoring.score_cells import ScoringSettings
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB


def test_a_refusal_is_a_result_with_its_reason_and_no_cells() -> None:
    refusal = Refusal("no_tissue", "no tissue was found on the glass")
    context = ImageContext((), QUPATH_H_DAB, by_core=True, warnings=("a warning",), refusal=refusal)
    found = refused_image(context, CaseInfo(site="gastric", specimen="biopsy"), ScoringSettings())
    score = found.score
    assert (score.status, score.score, score.refusal_code) == ("not assessable", None, "no_tissue")
    assert "no tissue was found on the glass" in score.reason
    assert score.guideline == "CAP/ASCP/ASCO gastric 2016, biopsy"
    assert score.warnings == ("a warning",)
    assert (score.n_cells, len(found.table), score.regions) == (0, 0, {})
    # No core has a score, so the run must not promise any.
    assert found.context.by_core is False


def test_an_empty_table_survives_its_file(tmp_path: Path) -> None:
    path, table = tmp_path / "cells.npz", empty_table()
    with path.open("wb") as file:
        write_cells(file, table)
    with np.load(path) as data:
        assert data["cell_offsets"].tolist() == data["nucleus_offsets"].tolist() == [0]
    assert len(read_cells(path, measurement_names=(), class_names=table.class_names)) == 0
