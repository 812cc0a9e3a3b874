from __future__ import annotations

import cv2
import numpy as np
import shapely

from qupath_her2.synthetic.ducts import place_benign, place_fat, place_in_situ, place_vessels
from qupath_her2.synthetic.layout import (
    BENIGN,
    FAT,
    LAYOUT_UM,
    LUMEN,
    NECROSIS,
    STROMA,
    TUMOUR,
    VESSEL,
)
from qupath_her2.synthetic.noise import MARGIN_UM
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.tissue import TissueSettings

SETTINGS = FieldSettings(width_px=1200, height_px=1000, seed=8)
SHAPE = tuple(round((e + 2 * MARGIN_UM) / LAYOUT_UM) for e in SETTINGS.extent_um[::-1])


def stroma() -> tuple[np.ndarray, np.ndarray]:
    """A raster of stroma, and nothing taken."""
    return np.full(SHAPE, STROMA, np.uint8), np.zeros(SHAPE, bool)


def test_in_situ_ducts_hold_tumour_and_what_is_dead_lies_deep() -> None:
    region, taken = stroma()
    in_situ = place_in_situ(SETTINGS, TissueSettings(in_situ=1.0), region, taken)
    assert in_situ.mean() > 0.05
    assert set(np.unique(region[in_situ])) <= {TUMOUR, LUMEN, NECROSIS}
    assert set(np.unique(region[~in_situ])) == {STROMA}
    assert (taken | ~in_situ).all()
    depth = cv2.distanceTransform(in_situ.astype(np.uint8), cv2.DIST_L2, 5) * LAYOUT_UM
    dead = region == NECROSIS
    assert dead.any()
    # The viable rim is at least 18 µm wide, less the ripple of 3 µm SD.
    assert np.percentile(depth[dead], 1) > 8


def test_benign_ducts_are_hollow_with_a_thin_wall_and_keep_apart() -> None:
    region, taken = stroma()
    place_benign(SETTINGS, TissueSettings(benign=1.0), region, taken)
    wall, lumen = region == BENIGN, region == LUMEN
    assert wall.any()
    assert lumen.any()
    depth = cv2.distanceTransform((wall | lumen).astype(np.uint8), cv2.DIST_L2, 5) * LAYOUT_UM
    assert 8 < np.percentile(depth[wall & (depth > 0)], 97) < 17
    assert not cv2.dilate(lumen.astype(np.uint8), np.ones((3, 3)))[region == STROMA].any()


def test_a_taken_place_is_left_alone() -> None:
    region, taken = stroma()
    taken[:] = True
    assert not place_in_situ(SETTINGS, TissueSettings(in_situ=1.0), region, taken).any()
    place_benign(SETTINGS, TissueSettings(benign=1.0), region, taken)
    assert (region == STROMA).all()


def test_vessels_lie_in_stroma_and_equal_their_outlines() -> None:
    region, taken = stroma()
    region[:, :500] = TUMOUR
    taken[300:] = True
    vessels = place_vessels(SETTINGS, TissueSettings(vessels=1.0), region, taken)
    assert len(vessels) > 5
    drawn = region == VESSEL
    assert not drawn[:, :500].any()
    assert not drawn[300:].any()
    area_um2 = sum(shapely.Polygon(ring).area for ring in vessels)
    assert abs(drawn.sum() * LAYOUT_UM**2 / area_um2 - 1) < 0.1


def test_fat_takes_about_its_share_in_large_cells_with_walls_between() -> None:
    region, _ = stroma()
    fat = place_fat(SETTINGS, TissueSettings(fat=0.5), region)
    assert 0.3 < (region == FAT).mean() < 0.65
    assert (fat.wall_um[region != FAT] == 200).all()
    bodies = ((region == FAT) & (fat.wall_um > 2)).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(bodies)
    areas = np.sort(stats[1:, cv2.CC_STAT_AREA])[::-1] * LAYOUT_UM**2
    # Adipocytes are 40 to 90 µm wide: most of the fat is in pieces of that size.
    assert 1000 < np.median(areas[areas > 200]) < 5000
    none = place_fat(SETTINGS, TissueSettings(fat=0.0), region)
    assert len(none.centre_xy) == 0
