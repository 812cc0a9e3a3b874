from __future__ import annotations

import numpy as np
import pytest
import shapely

from qupath_her2.cells.tumour.proposals import ProposalSettings, propose_regions
from qupath_her2.errors import SettingsError

UM_PX = 0.5
ANGLE = np.linspace(0, 2 * np.pi, 36, endpoint=False)
ROUND = np.stack([np.cos(ANGLE), np.sin(ANGLE)], 1)


def cells(xy_um: np.ndarray, radius_um: float = 6.0) -> tuple[np.ndarray, np.ndarray]:
    outlines = (xy_um[:, None] + radius_um * ROUND) / UM_PX
    return xy_um / UM_PX, outlines.astype(np.float32)


def lattice(
    columns: int, rows: int, left: float = 100.0, top: float = 100.0, step: float = 12.0
) -> np.ndarray:
    x, y = np.meshgrid(left + step * np.arange(columns), top + step * np.arange(rows))
    return np.stack([x.ravel(), y.ravel()], 1)


def propose(
    xy: np.ndarray, probability: float | np.ndarray = 0.9, **settings: float
) -> list[shapely.Polygon]:
    values = np.broadcast_to(np.asarray(probability, np.float32), len(xy))
    return propose_regions(*cells(xy), values, UM_PX, ProposalSettings(**settings))  # type: ignore[arg-type]


def test_a_nest_becomes_one_outline_of_about_its_area() -> None:
    (region,) = propose(lattice(8, 8))
    side = 7 * 12 + 2 * 6
    assert region.area * UM_PX**2 == pytest.approx(side**2, rel=0.08)
    assert region.is_valid
    assert not region.interiors
    assert len(region.exterior.coords) < 60
    assert region.covers(shapely.points(lattice(8, 8) / UM_PX)).all()


def test_improbable_cells_few_cells_and_none_propose_nothing() -> None:
    assert propose(lattice(8, 8), 0.1) == []
    assert propose(lattice(2, 2)) == []
    assert propose(lattice(2, 2), min_cells=4, min_area_um2=0) != []
    assert propose(np.zeros((0, 2))) == []


def test_nests_apart_stay_apart_and_those_near_are_joined() -> None:
    wide = np.concatenate([lattice(5, 5), lattice(5, 5, left=100 + 4 * 12 + 12 + 25)])
    assert len(propose(wide)) == 2
    close = np.concatenate([lattice(5, 5), lattice(5, 5, left=100 + 4 * 12 + 12 + 6)])
    assert len(propose(close)) == 1


def test_small_lumens_are_filled_and_large_ones_left_open() -> None:
    xy = lattice(16, 16)
    middle = np.abs(xy - xy.mean(0)).max(1)
    (filled,) = propose(xy[middle > 15])
    assert not filled.interiors
    (ring,) = propose(xy[middle > 50])
    assert len(ring.interiors) == 1
    assert not ring.contains(shapely.Point(*xy.mean(0) / UM_PX))


def test_regions_never_overlap_and_are_valid() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        xy = rng.uniform(50, 600, (400, 2))
        found = propose(xy, rng.uniform(0.3, 1, 400).astype(np.float32), min_cells=1, min_area_um2=0)
        assert all(region.is_valid and region.geom_type == "Polygon" for region in found)
        total = sum(region.area for region in found)
        assert shapely.union_all(found).area == pytest.approx(total, rel=1e-9)


def test_a_nest_within_the_hole_of_another_is_a_region_of_its_own() -> None:
    xy = lattice(24, 24)
    middle = np.abs(xy - xy.mean(0)).max(1)
    found = propose(xy[(middle > 110) | (middle < 25)])
    assert len(found) == 2
    assert found[0].intersection(found[1]).area == 0


def test_the_pixel_size_does_not_matter() -> None:
    xy = lattice(7, 6)
    outlines = (xy[:, None] + 6 * ROUND).astype(np.float32)
    probability = np.full(len(xy), 0.8, np.float32)
    (fine,) = propose_regions(xy / 0.25, outlines / np.float32(0.25), probability, 0.25)
    (coarse,) = propose_regions(xy, outlines, probability, 1.0)
    scaled = shapely.transform(fine, lambda p: p * 0.25)
    assert scaled.symmetric_difference(coarse).area < 0.01 * coarse.area


def test_settings_outside_their_range_are_refused() -> None:
    with pytest.raises(SettingsError, match="min_probability"):
        ProposalSettings(min_probability=1.5)
