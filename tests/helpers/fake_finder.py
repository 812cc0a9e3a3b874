"""A tumour finder that knows where the tumour is: tests of what follows from it need no trained trees."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qupath_her2.cells.tumour.surroundings import FEATURE_NAMES

__all__ = ["tumour_left_of"]


def tumour_left_of(monkeypatch: pytest.MonkeyPatch, x_um: float, *, probability: float = 0.9) -> None:
    """Make the finder take all cells left of `x_um` for tumour, and no other."""

    def found(
        features: NDArray[np.float32], centre_xy_um: NDArray[np.float64], _trees: object = None
    ) -> NDArray[np.float32]:
        assert features.shape == (len(centre_xy_um), len(FEATURE_NAMES))
        assert np.isfinite(features).all()
        is_left = centre_xy_um[:, 0] < x_um
        return np.where(is_left, probability, 1 - probability).astype(np.float32)

    monkeypatch.setattr("qupath_her2.cells.tumour.search.tumour_probability", found)
