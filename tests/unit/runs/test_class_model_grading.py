"""A class model decides where it differs from the cut-points; a person's class stands above it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.cells.measure import MeasuredCells
from qupath_her2.cells.membrane.class_model import MODEL_MEASUREMENTS, ClassModel
from qupath_her2.cells.membrane.grading import GradingSettings, grade
from qupath_her2.cells.membrane.measurements import stored_estimates
from qupath_her2.cells.reviewer_classes import REVIEWER_CLASS
from qupath_her2.runs.class_model_grading import class_model_regrade, stored_profile
from qupath_her2.runs.types import ChosenProfile
from qupath_her2.scoring.guidelines import BREAST_2018
from qupath_her2.scoring.rules import cell_classes
from tests.helpers.labelled_project import labelled_image

#: 1+ from a root of the density of 0.3, 2+ from 0.5, 3+ from 0.7.
MODEL = ClassModel((1.0, 0.0, 0.0, 0.0, 0.0), (0.3, 0.5, 0.7))


@pytest.fixture
def cells(tmp_path):
    table = labelled_image(tmp_path, "1_case", scale=1.0)[0].table
    estimates, grading = stored_estimates(table), GradingSettings()
    return MeasuredCells(table, *grade(estimates, grading), (), None, (), estimates, grading)


def test_the_model_decides_and_agreeing_cells_keep_their_pattern(cells):
    regrade = class_model_regrade(cells, MODEL, BREAST_2018)
    intensity, pattern = regrade(0.0)
    root = np.sqrt(cells.table.column(MODEL_MEASUREMENTS[0]))
    assert (cell_classes(intensity, pattern, BREAST_2018) == np.digitize(root, MODEL.levels)).all()
    same = cell_classes(cells.intensity, cells.pattern, BREAST_2018) == np.digitize(root, MODEL.levels)
    assert 0 < same.sum() < len(same)
    assert (pattern[same] == cells.pattern[same]).all()
    # Cut-points twice as high: a root must be 1.41 times as large.
    higher = cell_classes(*regrade(1.0), BREAST_2018)
    assert (higher == np.digitize(root / np.sqrt(2), MODEL.levels)).all()


def test_a_persons_class_stands_above_the_model(cells):
    given = np.full(len(cells.table), np.nan, np.float32)
    given[3] = 3
    table = replace(
        cells.table,
        measurements=np.column_stack([cells.table.measurements, given]),
        measurement_names=(*cells.table.measurement_names, REVIEWER_CLASS),
    )
    never = ClassModel((0.0,) * 5, (1.0, 2.0, 3.0))
    classes = cell_classes(
        *class_model_regrade(replace(cells, table=table), never, BREAST_2018)(0.0), BREAST_2018
    )
    assert np.flatnonzero(classes).tolist() == [3]


def test_the_choice_is_read_back_from_the_record():
    chosen = ChosenProfile("lab-a", "Cut-points: profile lab-a.", "ab", MODEL)
    assert stored_profile(chosen.stored) == chosen
    assert stored_profile(None) is None
    with pytest.raises(KeyError):
        stored_profile({"name": "lab-a"})
