"""Records: columns by name, and the result of a score in a word."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.records import CELL_CLASSES, NOT_MEASURED, CellTable, PatchTable, Prediction, Score


def cells(n: int) -> CellTable:
    return CellTable(
        uuid=np.zeros((n, 16), np.uint8),
        centroid_xy=np.zeros((n, 2), np.float32),
        cell_xy=np.zeros((0, 2), np.float32),
        cell_offsets=np.zeros(n + 1, np.int64),
        nucleus_xy=np.zeros((0, 2), np.float32),
        nucleus_offsets=np.zeros(n + 1, np.int64),
        region=np.zeros(n, np.int32),
        measurements=np.arange(2 * n, dtype=np.float32).reshape(n, 2),
        measurement_names=("HER2: a", "HER2: b"),
        cell_class=np.zeros(n, np.uint8),
    )


def test_a_column_is_found_by_its_name() -> None:
    assert cells(3).column("HER2: b").tolist() == [1, 3, 5]
    with pytest.raises(KeyError, match="no measurement 'b'; there are: HER2: a, HER2: b"):
        cells(3).column("b")


@pytest.mark.parametrize("n", [0, 3])
def test_the_length_of_a_table_is_its_number_of_rows(n: int) -> None:
    patches = PatchTable(
        uuid=np.zeros((n, 16), np.uint8),
        box_xywh=np.zeros((n, 4), np.int32),
        region=np.zeros(n, np.int32),
        probabilities=np.zeros((n, 0), np.float32),
        patch_class=np.zeros(n, np.uint8),
        class_names=(),
    )
    assert len(cells(n)) == len(patches) == n


def test_not_measured_is_no_class() -> None:
    assert len(CELL_CLASSES) <= NOT_MEASURED


@pytest.mark.parametrize(
    ("score", "answer"),
    [
        (Score("scored", "2+", "r", "g"), "2+"),
        (Score("not assessable", None, "r", "g"), "not assessable"),
        (Score("predicted", None, "r", "none", prediction=Prediction("m", "t", "3+", {}, 1, "mean")), "3+"),
        (
            Score("predicted", None, "r", "none", prediction=Prediction("m", "t", None, {}, 1, "mean")),
            "no class",
        ),
    ],
)
def test_the_answer_is_score_predicted_class_or_neither(score: Score, answer: str) -> None:
    assert score.answer == answer
