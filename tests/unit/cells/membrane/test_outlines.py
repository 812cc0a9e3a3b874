from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.membrane.outlines import (
    NO_NEIGHBOUR,
    OutlineSettings,
    nearest_nucleus_map,
    outline_cells,
)
from tests.helpers.drawn_planes import planes_of, ring

SHAPE = (128, 160)
UM_PX = 0.5


def nuclei(*radii_px: float) -> np.ndarray:
    return np.repeat(np.array(radii_px, np.float32)[:, None], 32, axis=1)


def test_every_pixel_belongs_to_the_nearest_nucleus() -> None:
    centres = np.array([[30.0, 30.0], [90.0, 40.0], [60.0, 100.0]])
    radii = nuclei(8, 12, 6)
    territory, distance = nearest_nucleus_map(SHAPE, centres, radii, reach_px=40)
    rows, columns = np.mgrid[: SHAPE[0] // 2, : SHAPE[1] // 2] * 2 + 0.5
    away = np.stack(
        [np.hypot(columns - x, rows - y) - r[0] for (x, y), r in zip(centres, radii, strict=True)]
    )
    owned = territory != NO_NEIGHBOUR
    assert (owned == (away.min(0) < 40)).all()
    assert (territory[owned] == away.argmin(0)[owned]).all()
    assert 2 * distance[owned] == pytest.approx(away.min(0)[owned], abs=1e-3)
    assert np.isinf(distance[~owned]).all()


@pytest.mark.parametrize("turn", [lambda a: a[:, ::-1], lambda a: a[::-1], lambda a: a[::-1, ::-1]])
def test_mirrored_nuclei_have_mirrored_territories(turn) -> None:
    """Irregular nuclei in a frame of whole half-grid pixels."""
    rng = np.random.default_rng(4)
    centres = rng.uniform(25, 100, (6, 2))
    radii = rng.uniform(5, 9, (6, 32)).astype(np.float32)
    probe = np.arange(128 * 160).reshape(SHAPE)
    corner = turn(probe)[0, 0]
    flips_rows, flips_columns = corner // 160 > 0, corner % 160 > 0
    moved = np.where([flips_columns, flips_rows], [159, 127] - centres, centres)
    angles = np.arange(32)
    if flips_columns:
        angles = 16 - angles
    if flips_rows:
        angles = -angles
    territory, distance = nearest_nucleus_map(SHAPE, centres, radii, 40)
    there, far = nearest_nucleus_map(SHAPE, moved, np.ascontiguousarray(radii[:, angles % 32]), 40)
    assert (turn(there) == territory).mean() > 0.999
    inside = np.isfinite(distance) & np.isfinite(turn(far))
    assert turn(far)[inside] == pytest.approx(distance[inside], abs=1e-3)


def test_territories_without_nuclei() -> None:
    territory, distance = nearest_nucleus_map((16, 24), np.zeros((0, 2)), np.zeros((0, 32), np.float32), 40)
    assert (territory == NO_NEIGHBOUR).all()
    assert np.isinf(distance).all()


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
