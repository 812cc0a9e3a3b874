from __future__ import annotations

import numpy as np
import pytest
import shapely

from qupath_her2.synthetic.layout import STROMA, lay_out
from qupath_her2.synthetic.painting import canvas_for
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.synthetic.surroundings import other_nuclei, paint_ground, paint_red_cells_and_dirt

SETTINGS = FieldSettings(width_px=240, height_px=240, seed=5, stroma=0.4, red_cells=1.0, lymphocytes=0.7)


def test_other_nuclei_do_not_touch_and_have_their_shapes() -> None:
    others = other_nuclei(SETTINGS, lay_out(SETTINGS))
    polygons = [shapely.Polygon(ring) for ring in others.nuclei]
    assert set(others.kinds) == {"stroma", "lymphocyte"}
    assert len(others.od) == len(polygons) > 20
    assert shapely.union_all(polygons).area > 0.9 * sum(one.area for one in polygons)
    longest = {}
    for kind in ("stroma", "lymphocyte"):
        rings = [ring for ring, name in zip(others.nuclei, others.kinds, strict=True) if name == kind]
        longest[kind] = np.median([np.sqrt(np.divide(*np.linalg.eigvalsh(np.cov(r.T))[::-1])) for r in rings])
    assert longest["lymphocyte"] < 1.5 < 2 < longest["stroma"]


def test_lymphocytes_follow_their_setting() -> None:
    none = FieldSettings(width_px=240, height_px=240, seed=5, stroma=0.4, lymphocytes=0)
    assert "lymphocyte" not in other_nuclei(none, lay_out(none)).kinds


def test_ground_is_darker_in_tumour_than_in_lumens() -> None:
    layout = lay_out(SETTINGS)
    canvas = canvas_for(SETTINGS)
    paint_ground(canvas, layout)
    assert np.median(canvas.haematoxylin) == pytest.approx(0.7 * SETTINGS.background_od, rel=0.6)
    empty = canvas_for(SETTINGS)
    paint_ground(empty, lay_out(FieldSettings(width_px=240, height_px=240, seed=5, tissue_edge=1.0)))
    assert np.abs(empty.haematoxylin).max() < 0.05


def test_red_cells_are_grey_with_bright_rims_and_lie_in_stroma() -> None:
    layout = lay_out(SETTINGS)
    canvas = canvas_for(SETTINGS)
    paint_red_cells_and_dirt(canvas, layout)
    assert canvas.grey.max() > 0.2
    assert canvas.grey.min() < -0.02
    assert canvas.dab.max() < 0.2
    bare = canvas_for(SETTINGS)
    without = lay_out(FieldSettings(width_px=240, height_px=240, seed=5, stroma=0))
    assert not (without.region == STROMA).any()
    paint_red_cells_and_dirt(bare, without)
    assert bare.dab.max() == 0
