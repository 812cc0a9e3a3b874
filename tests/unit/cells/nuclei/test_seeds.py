from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.nuclei.seeds import SeedSettings, blob_response, find_seeds
from tests.helpers.drawn_planes import disc

SHAPE = (160, 200)


@pytest.mark.parametrize("radius_um", [2.5, 3.5, 5.0])
def test_blob_is_found_at_its_centre(radius_um: float) -> None:
    seeds, response = find_seeds(0.1 * disc(SHAPE, 90.3, 71.6, radius_um / 0.5), 0.5)
    best = seeds[response.argmax()]
    # The half grid is 2 pixels wide, and seeds lie between its pixels.
    assert best == pytest.approx([90.3, 71.6], abs=0.5)
    assert (seeds * 16 == np.round(seeds * 16)).all()


@pytest.mark.parametrize("shift_px", [(1, 0), (0, 1), (1, 1)])
def test_seeds_hardly_depend_on_where_the_grid_lies(shift_px: tuple[int, int]) -> None:
    x_px, y_px = shift_px
    blob = 0.1 * disc(SHAPE, 90.3, 71.6, 7)
    moved = np.roll(blob, (y_px, x_px), (0, 1))
    (here, one), (there, two) = find_seeds(blob, 0.5), find_seeds(moved, 0.5)
    offset = there[two.argmax()] - here[one.argmax()]
    # Seeds on whole pixels of the half grid would move by 0 or 2.
    assert offset == pytest.approx(shift_px, abs=0.3)


def test_every_blob_of_a_field_is_found() -> None:
    places = [(x, y) for y in range(20, 150, 26) for x in range(20, 190, 26)]
    evidence = 0.1 * np.max([disc(SHAPE, x, y, 7) for x, y in places], axis=0)
    seeds, _ = find_seeds(evidence, 0.5)
    away = np.hypot(*(seeds[None] - np.array(places)[:, None]).transpose(2, 0, 1))
    assert (away.min(1) < 2).all()
    assert len(seeds) == len(places)


@pytest.mark.parametrize("turn", [0.0, 0.3, np.pi / 4, np.pi / 2])
@pytest.mark.parametrize("sigma_px", [2.0, 3.2])
def test_line_responds_much_less_than_a_blob_of_its_width(turn: float, sigma_px: float) -> None:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    across = (columns - 100) * np.cos(turn) + (rows - 80) * np.sin(turn)
    line = np.exp(-(across**2) / (2 * sigma_px**2)).astype(np.float32)
    blob = np.exp(-((columns - 100.0) ** 2 + (rows - 80.0) ** 2) / (2 * sigma_px**2)).astype(np.float32)
    sizes = SeedSettings().sigmas_um
    inner = np.s_[10:-10, 10:-10]
    of_line, of_blob = (
        blob_response(line, 0.5, sizes)[inner].max(),
        blob_response(blob, 0.5, sizes)[inner].max(),
    )
    # None along pixel rows; oblique lines keep a little, from the discretisation of second differences.
    assert of_line < (1e-3 if turn in (0.0, np.pi / 2) else 0.5) * of_blob


def test_steps_and_flat_planes_have_no_blobs() -> None:
    _, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    step = (0.3 / (1 + np.exp((columns - 100) / 2.0))).astype(np.float32)
    for plane in (step, np.zeros(SHAPE, np.float32)):
        seeds, _ = find_seeds(plane, 0.5)
        inner = (seeds > 16).all(1) & (seeds < np.array([SHAPE[1] - 16, SHAPE[0] - 16])).all(1)
        assert not inner.any()


def test_response_of_a_gaussian_blob_by_formula() -> None:
    """A Gaussian of sigma t, blurred by s: sqrt(det) at its middle is t^2 / (t^2 + s^2)^2, times s^2."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    t, s = 6.0, 6.0
    blob = np.exp(-((columns - 100.5) ** 2 + (rows - 80.5) ** 2) / (2 * t**2)).astype(np.float32)
    response = blob_response(blob, 0.5, (s * 0.5,))
    assert response.shape == (80, 100)
    assert response[40, 50] == response.max()
    # Curvature is a difference over whole pixels of 1 µm, and halving blurs a little.
    assert response.max() == pytest.approx(s**2 * t**2 / (t**2 + s**2) ** 2, rel=0.06)


def test_weak_blobs_are_left_out_and_seeds_are_in_raster_order() -> None:
    evidence = 0.2 * disc(SHAPE, 40, 100, 7) + 0.1 * disc(SHAPE, 150, 40, 7)
    seeds, response = find_seeds(evidence, 0.5)
    assert seeds[:, 0] == pytest.approx([150, 40], abs=2)
    assert response[1] == pytest.approx(2 * response[0], rel=0.1)
    stronger, _ = find_seeds(evidence, 0.5, SeedSettings(min_response_od=float(response.mean())))
    assert len(stronger) == 1
