from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.cells.membrane.territory import STRAIGHT_STEP, UNOWNED, grow_territories, nearest_nucleus_map

SEED = st.integers(0, 2**32 - 1)
SHAPE = (128, 160)


def literal(
    owner: np.ndarray, cost: np.ndarray, price: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Dijkstra with a heap, settled in the order of (cost, seed number)."""
    height, width = owner.shape
    waiting = [(int(cost[y, x]), int(owner[y, x]), y, x) for y, x in np.argwhere(owner >= 0).tolist()]
    heapq.heapify(waiting)
    settled = np.full(owner.shape, UNOWNED, np.int32), np.full(owner.shape, limit + 1, np.int32)
    while waiting:
        spent, number, y, x = heapq.heappop(waiting)
        if spent > limit or settled[0][y, x] != UNOWNED:
            continue
        settled[0][y, x], settled[1][y, x] = number, spent
        for v in range(max(y - 1, 0), min(y + 2, height)):
            for u in range(max(x - 1, 0), min(x + 2, width)):
                step = 7 if v != y and u != x else 5
                if price[v, u] >= 0 and (v, u) != (y, x):
                    heapq.heappush(waiting, (spent + step * int(price[v, u]), number, v, u))
    return settled


# The first example compiles the kernel.
@settings(deadline=None)
@given(seed=SEED, height=st.integers(1, 12), width=st.integers(1, 12), limit=st.integers(0, 200))
def test_every_pixel_goes_to_the_cheapest_path(seed: int, height: int, width: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    owner = np.full(height * width, UNOWNED, np.int32)
    places = rng.choice(len(owner), min(len(owner), int(rng.integers(0, 5))), replace=False)
    owner[places] = np.arange(len(places))
    owner = owner.reshape(height, width)
    cost = rng.integers(0, 40, owner.shape).astype(np.int32)
    # Few distinct prices, so that ties are common; some walls.
    price = rng.choice(np.array([-1, 1, 2, 6], np.int32), owner.shape, p=[0.1, 0.5, 0.2, 0.2])
    for found, expected in zip(
        grow_territories(owner, cost, price, limit), literal(owner, cost, price, limit), strict=True
    ):
        assert (found == expected).all()


def test_costly_wall_separates_territories_off_centre() -> None:
    owner = np.full((21, 41), UNOWNED, np.int32)
    owner[10, 5], owner[10, 30] = 0, 1
    price = np.ones(owner.shape, np.int32)
    price[:, 25] = 30
    found, _ = grow_territories(owner, np.zeros_like(owner), price, 10_000)
    assert (found[:, :25] == 0).all()
    assert (found[:, 26:] == 1).all()
    free, _ = grow_territories(owner, np.zeros_like(owner), np.ones_like(price), 10_000)
    assert (free[10, :18] == 0).all()
    assert (free[10, 18:] == 1).all()


@pytest.mark.parametrize("reach", [1, 4])
def test_no_path_exceeds_the_limit(reach: int) -> None:
    owner = np.full((11, 11), UNOWNED, np.int32)
    owner[5, 5] = 0
    found, cost = grow_territories(owner, np.zeros_like(owner), np.ones_like(owner), reach * STRAIGHT_STEP)
    assert (found[5] == 0).sum() == 2 * reach + 1
    assert cost[5, 5 + reach] == reach * STRAIGHT_STEP
    assert (cost[found == UNOWNED] == reach * STRAIGHT_STEP + 1).all()


def test_inputs_are_not_modified() -> None:
    owner = np.array([[0, UNOWNED, UNOWNED]], np.int32)
    cost, price = np.zeros_like(owner), np.ones_like(owner)
    grow_territories(owner, cost, price, 100)
    assert owner.tolist() == [[0, UNOWNED, UNOWNED]]
    assert cost.tolist() == [[0, 0, 0]]


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
    owned = territory != UNOWNED
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
    assert (territory == UNOWNED).all()
    assert np.isinf(distance).all()
