from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.cells.detectors.label_image import nuclei_from_labels
from qupath_her2.cells.nuclei.contours import N_ANGLES


def disc(shape: tuple[int, int], x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.indices(shape)
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


@settings(deadline=None, max_examples=40)
@given(st.floats(20, 44), st.floats(20, 44), st.floats(4, 15), st.integers(1, 60_000))
def test_a_disc_has_its_centre_and_radius(x: float, y: float, radius: float, number: int) -> None:
    labels = np.where(disc((64, 64), x, y, radius), number, 0)
    nuclei = nuclei_from_labels(labels)
    assert len(nuclei) == 1
    assert nuclei.centre[0] == pytest.approx((x, y), abs=0.5)
    # A pixelated disc is off its circle by up to half a diagonal.
    assert nuclei.radii[0] == pytest.approx(radius, abs=1.1)
    assert nuclei.radii.shape == (1, N_ANGLES)


def test_neighbours_end_at_each_other() -> None:
    labels = np.zeros((40, 60), np.int32)
    labels[10:30, 10:30] = 7
    labels[10:30, 30:50] = 3
    nuclei = nuclei_from_labels(labels)
    assert nuclei.centre.tolist() == [[39.5, 19.5], [19.5, 19.5]]
    right_of_left, left_of_right = nuclei.radii[1, 0], nuclei.radii[0, N_ANGLES // 2]
    assert right_of_left == pytest.approx(10, abs=0.3)
    assert left_of_right == pytest.approx(10, abs=0.3)


def test_objects_end_with_the_tile() -> None:
    nuclei = nuclei_from_labels(np.ones((20, 30), np.int32))
    assert nuclei.radii[0, 0] == pytest.approx(15, abs=0.3)
    assert nuclei.radii[0, N_ANGLES // 4] == pytest.approx(10, abs=0.3)


def test_a_crescent_without_a_centre_of_its_own_is_left_out() -> None:
    ring = disc((64, 64), 32, 32, 20) & ~disc((64, 64), 32, 32, 15)
    assert len(nuclei_from_labels(ring.astype(np.int32))) == 0


def test_no_objects() -> None:
    nuclei = nuclei_from_labels(np.zeros((8, 8), np.uint16))
    assert len(nuclei) == 0
    assert nuclei.radii.shape == (0, N_ANGLES)
