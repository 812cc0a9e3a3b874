from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from qupath_her2.cells.existing_nuclei import NucleiOfExisting, nuclei_of_existing
from qupath_her2.cells.nuclei.contours import N_ANGLES
from qupath_her2.cells.nuclei.detection import Nuclei
from qupath_her2.cells.nuclei.star_contours import polygon_areas

RADIUS = 8.0
#: Of a circle of that radius, drawn with 32 corners.
USUAL = float(polygon_areas(np.full((1, N_ANGLES), RADIUS, np.float32))[0])


def circles(*rows: tuple[float, float, float]) -> Nuclei:
    """Circles from (x, y, radius)."""
    values = np.array(rows, np.float64).reshape(-1, 3)
    return Nuclei(values[:, :2], np.repeat(values[:, 2:], N_ANGLES, 1).astype(np.float32))


def found(outlines: Nuclei, own: Nuclei, may_be_nucleus: bool | list[bool] = True) -> NucleiOfExisting:
    allowed = np.broadcast_to(np.array(may_be_nucleus), len(outlines)).copy()
    return nuclei_of_existing(outlines.centre, outlines.radii, allowed, own, USUAL)


def of_cells(result: NucleiOfExisting) -> tuple[list[list[float]], NDArray[np.float32]]:
    """Centres and mean radii of the nuclei of the existing cells."""
    return result.nuclei.centre[result.of_cell].tolist(), result.nuclei.radii[result.of_cell].mean(1)


@pytest.mark.parametrize("radius", [1.0, 5.0, 8.0, 12.0, 16.0])
def test_the_detected_nucleus_is_measured_whatever_the_size_of_the_outline(radius: float) -> None:
    own = circles((50, 50, RADIUS), (90, 50, RADIUS))
    result = found(circles((51, 49.5, radius)), own)
    assert of_cells(result)[0] == [[50, 50]]
    # The other nucleus stays as a neighbour, though the other program has not found it.
    assert result.nuclei.centre.tolist() == own.centre.tolist()
    assert not result.is_stand_in.any()


def test_the_most_central_nucleus_of_a_cell_outline_is_its_own() -> None:
    own = circles((62, 50, 5.0), (52, 50, 5.0))
    result = found(circles((50, 50, 18.0)), own, may_be_nucleus=False)
    assert of_cells(result)[0] == [[52, 50]]


def half(x: float, side: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Centroid and radii of the right (1) or left (-1) half of a circle of radius 8 around (x, 50)."""
    angle = 2 * np.pi * np.arange(N_ANGLES) / N_ANGLES
    away = side * 4 * RADIUS / (3 * np.pi)
    along = np.linspace(0, 2 * RADIUS, 2000)
    px, py = away + along[:, None] * np.cos(angle), along[:, None] * np.sin(angle)
    inside = (px * side >= 0) & (np.hypot(px, py) <= RADIUS)
    return np.array([x + away, 50.0]), (inside * along[:, None]).max(0).astype(np.float32)


def test_two_halves_of_a_detected_nucleus_are_measured_as_outlined() -> None:
    centres, radii = zip(half(50, -1), half(50, 1), strict=True)
    halves = Nuclei(np.array(centres), np.array(radii))
    own = circles((50, 50, RADIUS), (80, 50, RADIUS))
    result = found(halves, own)
    assert np.abs(result.nuclei.centre[result.of_cell] - halves.centre).max() <= 1 / 32
    assert result.nuclei.radii[result.of_cell] == pytest.approx(halves.radii.clip(1), abs=1e-3)
    # The nucleus they share is no neighbour of them, the one beside them is.
    assert [80, 50] in result.nuclei.centre.tolist()
    assert len(result.nuclei) == 3


def test_an_outline_without_a_detected_nucleus_is_measured_itself() -> None:
    result = found(circles((30, 40, 7.0), (60, 40, 9.0)), circles((90, 90, RADIUS)))
    centres, radii = of_cells(result)
    assert centres == [[30, 40], [60, 40]]
    assert radii == pytest.approx([7, 9], rel=1e-5)
    assert not result.is_stand_in.any()


@pytest.mark.parametrize(("radius", "may_be_nucleus"), [(16.0, False), (16.0, True), (12.0, False)])
def test_a_cell_without_any_nucleus_gets_one_of_the_usual_size(radius: float, may_be_nucleus: bool) -> None:
    result = found(circles((30, 40, radius)), circles(), may_be_nucleus)
    assert of_cells(result)[1] == pytest.approx([RADIUS], rel=1e-4)
    assert result.is_stand_in.tolist() == [True]


def test_a_stand_in_takes_up_at_most_half_of_a_small_cell() -> None:
    result = found(circles((30, 40, RADIUS)), circles(), may_be_nucleus=False)
    assert of_cells(result)[1] == pytest.approx([RADIUS / np.sqrt(2)], rel=1e-4)


@pytest.mark.parametrize("own", [circles((50, 50, RADIUS)), circles()])
def test_copies_of_a_cell_share_its_nucleus(own: Nuclei) -> None:
    """Nuclei and cells of one program, both saved as detections, or the results of two programs."""
    result = found(circles((50, 50, 8.0), (51, 50, 15.0), (90, 50, 8.0)), own)
    assert result.of_cell[0] == result.of_cell[1] != result.of_cell[2]
    assert len(result.nuclei) == 2


def test_a_nucleus_claimed_by_two_cells_goes_to_the_better_one() -> None:
    """The left outline belongs to a cell whose nucleus was not detected; it reaches over the nucleus of the next."""
    outlines = circles((50, 50, 16.0), (70, 50, 12.0))
    result = found(outlines, circles((64, 50, 5.0)), may_be_nucleus=False)
    assert of_cells(result)[0] == [[50, 50], [64, 50]]
    assert result.is_stand_in[result.of_cell].tolist() == [True, False]


def test_the_order_of_cells_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    own = circles(*np.column_stack([rng.uniform(0, 300, (60, 2)), rng.uniform(5, 9, 60)]))
    outlines = circles(*np.column_stack([rng.uniform(0, 300, (80, 2)), rng.uniform(4, 16, 80)]))
    first = found(outlines, own)
    turned = found(Nuclei(outlines.centre[::-1], outlines.radii[::-1]), own)
    detected = first.of_cell < len(own) - (len(first.nuclei) < len(own))
    assert 10 < detected.sum() < 70
    again = turned.nuclei.centre[turned.of_cell][::-1]
    matched = np.isin(first.nuclei.centre[first.of_cell], own.centre).all(1)
    assert (again[matched] == first.nuclei.centre[first.of_cell][matched]).all()


def test_no_cells_and_no_nuclei() -> None:
    nothing = found(circles(), circles())
    assert len(nothing.nuclei) == len(nothing.of_cell) == 0
    only_detected = found(circles(), circles((5, 5, 3)))
    assert len(only_detected.nuclei) == 1
    assert len(only_detected.of_cell) == 0
