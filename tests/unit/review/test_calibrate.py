"""A profile is written only where it is better on cases that the fit has not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.cells.membrane.grading import GradingSettings
from qupath_her2.cells.profiles import Place, Profile
from qupath_her2.errors import ReviewError
from qupath_her2.review.calibrate import CalibrationSettings, calibrate, figures_words
from qupath_her2.review.label_groups import LabelGroup
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB
from tests.helpers.labelled_project import labelled_cells

PLACE = Place("scan 1", "HER2", "A", QUPATH_H_DAB.hematoxylin, QUPATH_H_DAB.dab)


def group(n=80, *, scale=1.8, n_corrected=5, cases=4):
    cells = labelled_cells(n, scale=scale, cases=cases)
    return LabelGroup(PLACE, cells, {"Anna": n}, ("1_a",), n_corrected, "ab" * 32)


def fitted(found, current=None, **more):
    return calibrate(found, "lab-a", current, version="1.0", **more)


def test_a_shifted_stain_is_calibrated_and_the_profile_says_how():
    profile = fitted(group())
    figures = profile.figures
    assert figures["after"]["value"] > figures["before"]["value"] + 0.05
    assert figures["difference"]["low"] >= 0
    assert (figures["cells"], figures["cases"], figures["folds"]) == (80, 4, 4)
    assert np.sum(figures["confusion_after"]) == 80
    assert profile.origin["labelled_by"] == {"Anna": 80}
    assert profile.origin["version"] == "1.0"
    assert profile.classifier is None
    assert "before" in figures_words(dict(figures))


def test_a_profile_that_does_not_help_is_refused_with_the_figures():
    with pytest.raises(
        ReviewError, match=r"not better than the built-in cut-points.*% of 80|not better.*of 80 cells"
    ):
        fitted(group(scale=1.0))
    good = fitted(group())
    with pytest.raises(ReviewError, match="not better than profile lab-a on cases"):
        fitted(group(), good)


def test_a_profile_may_be_replaced_by_a_better_one():
    bad = Profile("lab-a", PLACE, GradingSettings(faint_od=0.001, moderate_od=0.002, intense_od=0.003))
    assert fitted(group(), bad).cut_points.intense_od > 0.3


def test_no_case_is_judged_by_its_own_labels():
    """A case whose labels contradict all others gets no better by being in the set."""
    found = group(80, scale=1.0)
    odd = found.cells.case == "case 0"
    label = np.where(odd, np.minimum(found.cells.label + 1, 3), found.cells.label).astype(np.uint8)
    twisted = replace(found, cells=replace(found.cells, label=label))
    with pytest.raises(ReviewError, match="not better"):
        fitted(twisted)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (group(20), "20 labelled cells of 4 cases are too few"),
        (group(80, cases=2), "80 labelled cells of 2 cases are too few"),
        (group(80, n_corrected=80), "all 80 labelled cells are corrections"),
    ],
)
def test_too_few_labels_are_explained(found, words):
    with pytest.raises(ReviewError, match=words):
        fitted(found)


def test_a_class_model_is_kept_only_where_it_is_better_than_cut_points():
    found = group(400, cases=6)
    assert "class_model_gain" in fitted(found).figures
    # A class that hangs on a measurement that no cut-point sees.
    cells = found.cells
    value = np.random.default_rng(1).uniform(0, 1, len(cells))
    features = cells.features.copy()
    features[:, 3] = value
    label = np.digitize(value, [0.25, 0.5, 0.75]).astype(np.uint8)
    hidden = replace(found, cells=replace(cells, features=features, label=label))
    profile = fitted(hidden, settings=CalibrationSettings())
    assert profile.classifier is not None
    assert profile.figures["class_model_gain"]["low"] > 0
    assert profile.figures["after"]["value"] > 0.8
