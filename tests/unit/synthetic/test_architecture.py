from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from qupath_her2.synthetic.architecture import lay_out_tissue
from qupath_her2.synthetic.layout import AREAS, BENIGN, GLASS, LAYOUT_UM, LUMEN, STROMA, TUMOUR
from qupath_her2.synthetic.noise import sample
from qupath_her2.synthetic.outline import centroid
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.tissue import ARCHITECTURES, TissueSettings

SETTINGS = FieldSettings(width_px=440, height_px=400, seed=4, gland=1.0, crowding=1.0)
BARE = TissueSettings(clefts=0, tears=0, vessels=0, tumour=0.45)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_growth_pattern_draws_tumour_cells_in_stroma(name: str) -> None:
    tissue = replace(BARE, architectures=(name,))
    layout = lay_out_tissue(SETTINGS, tissue)
    share = np.isin(layout.region, (TUMOUR, LUMEN)).mean()
    assert 0.1 < share < 0.6
    assert len(layout.outlines) > 30
    centres = np.array([centroid(ring) for ring in layout.outlines])
    assert (sample((layout.region == TUMOUR).astype(np.float32), centres, LAYOUT_UM) > 0).mean() > 0.95
    again = lay_out_tissue(SETTINGS, tissue)
    assert np.array_equal(again.region, layout.region)
    assert all(np.array_equal(a, b) for a, b in zip(again.outlines, layout.outlines, strict=True))


def test_solid_nests_take_exactly_their_share() -> None:
    region = lay_out_tissue(SETTINGS, BARE).region
    assert (region == TUMOUR).mean() == pytest.approx(0.45, abs=0.005)
    assert not (region == LUMEN).any()
    assert not (lay_out_tissue(SETTINGS, replace(BARE, tumour=0.0)).region == TUMOUR).any()


def test_columnar_cells_point_to_their_lumen() -> None:
    layout = lay_out_tissue(SETTINGS, replace(BARE, architectures=("glandular",), wall_um=(14.0, 14.0)))
    away = cv2.distanceTransform((layout.region != LUMEN).astype(np.uint8), cv2.DIST_L2, 5) * LAYOUT_UM
    slope_y, slope_x = (s.astype(np.float32) for s in np.gradient(cv2.GaussianBlur(away, (0, 0), 4)))
    centres = np.array([centroid(ring) for ring in layout.outlines])
    near = sample(away, centres, LAYOUT_UM) < 14
    assert near.sum() > 40
    to_lumen = np.arctan2(sample(slope_y, centres, LAYOUT_UM), sample(slope_x, centres, LAYOUT_UM))
    # 0.64 is the mean of |cos| for axes at random.
    assert np.abs(np.cos(layout.axis - to_lumen))[near].mean() > 0.9


def test_clefts_and_tears_are_glass_beside_nests() -> None:
    tissue = replace(BARE, clefts=0.6, cleft_um=8.0)
    region = lay_out_tissue(SETTINGS, tissue).region
    apart = cv2.distanceTransform((region != TUMOUR).astype(np.uint8), cv2.DIST_L2, 5) * LAYOUT_UM
    cleft = region == GLASS
    assert cleft.mean() > 0.01
    assert apart[cleft].max() <= 8.0 * 1.8
    torn = lay_out_tissue(SETTINGS, replace(BARE, tears=0.3)).region
    assert (torn == TUMOUR).sum() == (region == TUMOUR).sum()
    assert (torn == GLASS).mean() > 0.05


def test_in_situ_cells_lie_in_its_mask_and_benign_cells_in_ducts() -> None:
    layout = lay_out_tissue(SETTINGS, replace(BARE, tumour=0.0, in_situ=0.6))
    centres = np.array([centroid(ring) for ring in layout.outlines])
    assert (sample(layout.in_situ.astype(np.float32), centres, LAYOUT_UM) > 0).mean() > 0.98
    layout = lay_out_tissue(SETTINGS, replace(BARE, tumour=0.0, benign=1.0))
    assert not layout.outlines
    benign = np.array([centroid(ring) for ring in layout.benign.outlines])
    assert len(benign) > 30
    assert (sample((layout.region == BENIGN).astype(np.float32), benign, LAYOUT_UM) > 0).mean() > 0.9


def test_layout_does_not_depend_on_the_pixel_size() -> None:
    fine = replace(SETTINGS, width_px=880, height_px=800, pixel_size_um=0.25)
    assert np.array_equal(lay_out_tissue(fine, BARE).region, lay_out_tissue(SETTINGS, BARE).region)
    assert AREAS[STROMA] == "stroma"
    assert AREAS[TUMOUR] == "tumour"
