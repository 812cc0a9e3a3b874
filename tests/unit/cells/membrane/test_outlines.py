from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.membrane.outlines import (
    NO_NEIGHBOUR,
    OutlineSettings,
    outline_cells,
)
from tests.helpers.drawn_planes import planes_of, ring

SHAPE = (128, 160)
UM_PX = 0.5


def nuclei(*radii_px: float) -> np.ndarray:
    return np.repeat(np.array(radii_px, np.float32)[:, None], 32, axis=1)


@pytest.mark.parametrize("od", [0.1, 0.5])
@pytest.mark.parametrize("radius_um", [5.5, 7.0, 9.0])
def test_outline_follows_a_membrane(od: float, radius_um: float) -> None:
    line = od * ring(SHAPE, 80, 64, radius_um / UM_PX, fwhm_px=2)
    found = outline_cells(planes_of(UM_PX, ridge=line), np.array([[80.0, 64.0]]), nuclei(7))
    assert found.radii[0] * UM_PX == pytest.approx(radius_um, abs=0.4)
    assert (found.neighbour == NO_NEIGHBOUR).all()


def test_isolated_unstained_cell_has_the_expected_radius() -> None:
    planes = planes_of(UM_PX, ridge=np.zeros(SHAPE, np.float32))
    found = outline_cells(planes, np.array([[80.0, 64.0]]), nuclei(7), OutlineSettings(expansion_um=3.0))
    assert found.radii[0] * UM_PX == pytest.approx(7 * UM_PX + 3.0, abs=0.38)


def test_two_unstained_cells_meet_half_way_and_are_neighbours() -> None:
    planes = planes_of(UM_PX, ridge=np.zeros(SHAPE, np.float32))
    centres = np.array([[60.0, 64.0], [84.0, 64.0]])
    found = outline_cells(planes, centres, nuclei(7, 7))
    assert found.radii[0, 0] == pytest.approx(12, abs=1)
    assert found.radii[1, 18] == pytest.approx(12, abs=1)
    assert (found.neighbour[0, 0], found.neighbour[1, 18]) == (1, 0)
    assert (found.neighbour[0, 18], found.neighbour[1, 0]) == (NO_NEIGHBOUR, NO_NEIGHBOUR)


def test_first_membrane_is_the_own_one() -> None:
    lines = 0.3 * ring(SHAPE, 80, 64, 11, fwhm_px=2) + 0.5 * ring(SHAPE, 80, 64, 20, fwhm_px=2)
    found = outline_cells(planes_of(UM_PX, ridge=lines), np.array([[80.0, 64.0]]), nuclei(6))
    assert found.radii[0] == pytest.approx(11, abs=1)


def test_gap_in_a_membrane_is_bridged() -> None:
    line = 0.4 * ring(SHAPE, 80, 64, 14, fwhm_px=2, share=0.9)
    found = outline_cells(planes_of(UM_PX, ridge=line), np.array([[80.0, 64.0]]), nuclei(7))
    assert found.radii[0] == pytest.approx(14, abs=2)


def test_no_cells() -> None:
    found = outline_cells(
        planes_of(ridge=np.zeros(SHAPE, np.float32)), np.zeros((0, 2)), np.zeros((0, 32), np.float32)
    )
    assert found.radii.shape == found.neighbour.shape == (0, 36)
    assert (found.radii.dtype, found.neighbour.dtype) == (np.float32, np.int32)
