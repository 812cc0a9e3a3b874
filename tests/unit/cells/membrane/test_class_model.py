"""The class model: ordinal, monotone, and refused where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.membrane.class_model import N_FEATURES, ClassModel

MODEL = ClassModel((1.0, 0.0, 0.0, 0.0, 0.0), (0.2, 0.4, 0.6))


def test_levels_are_where_classes_begin():
    features = np.zeros((5, N_FEATURES))
    features[:, 0] = [0.1, 0.2, 0.45, 0.6, np.nan]
    assert MODEL.classes(features).tolist() == [0, 1, 2, 3, 255]


@pytest.mark.parametrize(
    ("weights", "levels"),
    [
        ((1.0,), (0.1, 0.2, 0.3)),
        ((-1.0, 0, 0, 0, 0), (0.1, 0.2, 0.3)),
        ((1.0, 0, 0, 0, 0), (0.3, 0.2, 0.1)),
        ((np.nan, 0, 0, 0, 0), (0.1, 0.2, 0.3)),
    ],
)
def test_other_models_are_refused(weights, levels):
    with pytest.raises(ValueError, match=r"classifier"):
        ClassModel.from_json({"weights": weights, "levels": levels})
