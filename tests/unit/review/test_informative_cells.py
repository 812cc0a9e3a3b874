"""Labels tell most where plausible cut-points disagree, and nothing where all agree."""

from __future__ import annotations

import numpy as np

from qupath_her2.cells.membrane.grading import Estimates, GradingSettings
from qupath_her2.review.cut_point_fit import class_probabilities, plausible_cut_points
from qupath_her2.review.informative_cells import information, with_chance
from tests.helpers.labelled_project import labelled_cells


def told(own_od, plausible):
    n = len(own_od)
    own = Estimates(np.array(own_od, np.float32), np.full(n, 0.9, np.float32), np.zeros(n, bool))
    return information(own, "breast-2018", plausible)


def test_cells_between_plausible_cut_points_tell_most():
    plausible = [GradingSettings(intense_od=cut) for cut in (0.35, 0.45, 0.55, 0.65)]
    found = told([0.25, 0.5, 1.2, np.nan], plausible)
    assert found[1] > 5 * found[2]
    assert found[1] > found[0]
    assert found[3] == 0
    # A cell exactly on a cut-point that is known tells nothing: only noise decides on it.
    assert told([0.455], [GradingSettings()] * 4).max() < 1e-9


def test_labels_narrow_what_is_plausible():
    none = plausible_cut_points(None, n=24)
    many = plausible_cut_points(labelled_cells(300, scale=1.6), n=24)
    spread = [np.std([np.log(one.intense_od) for one in found]) for found in (none, many)]
    assert spread[0] > 3 * spread[1]
    assert abs(np.mean([one.intense_od for one in many]) / (1.6 * GradingSettings().intense_od) - 1) < 0.25
    assert told([0.5], none) > told([0.5], many)


def test_probabilities_add_up_and_follow_the_cut_points():
    cells = labelled_cells(200)
    found = class_probabilities(cells, GradingSettings())
    assert np.allclose(found.sum(1), 1)
    assert (found.argmax(1) == cells.label).mean() > 0.85


def test_chance_keeps_the_strong_ahead_of_the_weak():
    rng = np.random.default_rng(0)
    values = np.repeat([1.0, 0.1], 200)
    first = np.argsort(-with_chance(values, rng))[:200]
    assert 0.7 < (first < 200).mean() < 1
