"""Drawn tissue for replay: known truth at the places of the found cells, and the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.tumour.finder import tumour_probability
from qupath_her2.cells.tumour.surroundings import FEATURE_NAMES
from qupath_her2.config import Settings
from qupath_her2.training.tumour_finder.replay import LEFT_OUT, drawn_tissue


@pytest.mark.slow
def test_drawn_tissue_has_cells_of_known_kind_and_is_the_same_each_time():
    drawn = list(drawn_tissue(3, Settings()))
    again = next(drawn_tissue(1, Settings()))
    np.testing.assert_array_equal(drawn[0][0].features, again[0].features)
    np.testing.assert_array_equal(drawn[0][1], again[1])
    label = np.concatenate([one for _, one in drawn])
    assert set(label.tolist()) <= {0, 1, LEFT_OUT}
    assert min((label == 1).sum(), (label == 0).sum()) > 30
    for tissue, own in drawn:
        assert tissue.features.shape == (len(own), len(FEATURE_NAMES))
    # The truth lies where the cells are: the finder agrees with it.
    found = np.concatenate([tumour_probability(t.features, t.centre_xy * t.um_px) for t, _ in drawn])
    assert found[label == 1].mean() > found[label == 0].mean() + 0.3
