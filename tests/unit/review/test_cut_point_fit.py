"""Fitted cut-points follow the stain, stay in order, and move little without labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.cells.membrane.grading import Estimates, GradingSettings
from qupath_her2.review.cut_point_fit import classes_of, fit_class_model, fit_cut_points
from tests.helpers.labelled_project import labelled_cells

BUILT_IN = GradingSettings()


@pytest.mark.parametrize("scale", [0.5, 1.6, 2.5])
def test_cut_points_follow_a_paler_or_darker_stain(scale):
    fitted = fit_cut_points(labelled_cells(150, scale=scale))
    for name in ("moderate_od", "intense_od"):
        assert getattr(fitted, name) == pytest.approx(scale * getattr(BUILT_IN, name), rel=0.25)
    unseen = labelled_cells(2000, scale=scale, seed=9)
    before, after = ((classes_of(unseen, cut) == unseen.label).mean() for cut in (BUILT_IN, fitted))
    assert after > before + 0.05
    assert after > 0.9


def test_labels_that_agree_move_nothing_far():
    fitted = fit_cut_points(labelled_cells(60))
    for name in ("faint_od", "moderate_od", "intense_od"):
        assert getattr(fitted, name) == pytest.approx(getattr(BUILT_IN, name), rel=0.2)


def test_one_label_moves_less_than_many():
    one = fit_cut_points(labelled_cells(400, scale=2).where(np.arange(400) == 7))
    many = fit_cut_points(labelled_cells(400, scale=2))
    assert abs(np.log(one.intense_od / BUILT_IN.intense_od)) < abs(
        np.log(many.intense_od / BUILT_IN.intense_od)
    )


def test_a_few_slips_move_nothing_far():
    cells = labelled_cells(200, scale=1.6)
    label = cells.label.copy()
    label[::20] = 3 - label[::20]
    clean, slipped = fit_cut_points(cells), fit_cut_points(replace(cells, label=label))
    assert slipped.moderate_od == pytest.approx(clean.moderate_od, rel=0.15)


@pytest.mark.parametrize("label", [0, 3])
def test_labels_of_one_class_keep_the_order(label):
    cells = labelled_cells(40)
    fitted = fit_cut_points(replace(cells, label=np.full(40, label, np.uint8)))
    # GradingSettings refuses another order.
    assert fitted.faint_od < fitted.moderate_od < fitted.intense_od


def test_more_staining_never_lowers_the_class():
    cells = labelled_cells(400, scale=1.6)
    model, cut = fit_class_model(cells), fit_cut_points(cells)
    root = np.linspace(0, 1, 50)
    complete = np.full(50, 0.85)
    rising = replace(
        labelled_cells(50),
        estimates=Estimates((root**2).astype(np.float32), complete.astype(np.float32), np.zeros(50, bool)),
        features=np.column_stack([root, complete, root, root, root * complete]),
    )
    for classes in (classes_of(rising, cut), classes_of(rising, cut, model)):
        assert (np.diff(classes.astype(int)) >= 0).all()
        assert (classes[0], classes[-1]) == (0, 3)


def test_cells_without_a_measurement_of_the_model_are_graded_by_cut_points():
    cells = labelled_cells(400)
    model = fit_class_model(cells)
    blank = replace(cells, features=np.full((400, 5), np.nan))
    assert (classes_of(blank, BUILT_IN, model) == classes_of(cells, BUILT_IN)).all()
