from __future__ import annotations

import numpy as np
import pytest
import shapely

from qupath_her2.synthetic.layout import GLASS, LUMEN, STROMA, TUMOUR, depth_in, keep_apart, lay_out
from qupath_her2.synthetic.settings import FieldSettings

SMALL = {"width_px": 240, "height_px": 240, "seed": 5}


def test_cells_tile_the_tumour_without_overlap() -> None:
    plan = lay_out(FieldSettings(**SMALL, stroma=0.2))
    cells = [shapely.Polygon(ring).buffer(0) for ring in plan.outlines]
    total, union = sum(one.area for one in cells), shapely.union_all(cells).area
    assert union > 0.95 * total
    assert union == pytest.approx((plan.region == TUMOUR).sum() * 0.25, rel=0.1)


def test_crowding_closes_the_gaps() -> None:
    filled = []
    for crowding in (0.0, 1.0):
        plan = lay_out(FieldSettings(**SMALL, stroma=0, lumens=0, crowding=crowding))
        filled.append(sum(shapely.Polygon(ring).area for ring in plan.outlines) / (plan.region.size * 0.25))
    assert filled[0] < 0.9 < filled[1]


def test_regions_have_the_requested_shares() -> None:
    region = lay_out(FieldSettings(**SMALL, stroma=0.3, lumens=0, tissue_edge=0.25)).region
    assert (region == GLASS).mean() == pytest.approx(0.25, abs=0.01)
    assert (region == STROMA).mean() == pytest.approx(0.3 * 0.75, abs=0.1)
    wide = FieldSettings(width_px=800, height_px=800, seed=5, stroma=0.1, lumens=1.0)
    assert (lay_out(wide).region == LUMEN).any()


def test_glands_hold_longer_cells() -> None:
    longest = []
    for gland in (0.0, 1.0):
        rings = lay_out(FieldSettings(**SMALL, stroma=0.35, gland=gland)).outlines
        spread = [np.linalg.eigvalsh(np.cov((ring - ring.mean(0)).T)) for ring in rings]
        longest.append(np.median([np.sqrt(high / low) for low, high in spread]))
    assert longest[1] > 1.1 * longest[0]


def test_no_tumour_no_cells() -> None:
    assert lay_out(FieldSettings(**SMALL, n_target=0)).outlines == []
    assert lay_out(FieldSettings(**SMALL, tissue_edge=1.0)).outlines == []


def test_depth_counts_from_the_border_and_stays_finite() -> None:
    region = np.full((40, 60), STROMA, np.uint8)
    assert depth_in(region, STROMA).max() == 200
    region[:, :30] = TUMOUR
    assert depth_in(region, TUMOUR)[20, 19] == pytest.approx(11 * 0.5, abs=0.3)
    assert depth_in(region, TUMOUR)[20, 40] == 0


def test_darts_keep_apart_under_their_own_metric() -> None:
    xy = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [20.0, 0.0]])
    along_x = np.zeros(4), np.full(4, 4.0), np.full(4, 4.0)
    # Aspect 4 at diameter 4: half-length 8 along x and 2 across, so only the neighbour along x is too near.
    assert keep_apart(xy, *along_x, 1.0).tolist() == [0, 2, 3]
