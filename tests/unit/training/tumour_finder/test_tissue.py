"""Cells of an image as proposals see them, and of a large slide only around what was labelled."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely

from qupath_her2.cells.grid import make_grid
from qupath_her2.errors import ImageReadError
from qupath_her2.runs.methods.proposals import ProposalsMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.settings import FieldSettings
from qupath_her2.training.tumour_finder.tissue import measure_tissue, near_tiles

UM_PX = 0.5


def job(folder, rgb, um_px=UM_PX):
    cv2.imwrite(str(folder / "case.png"), rgb[..., ::-1])
    (one,) = plan_jobs(folder, RunOptions(method=ProposalsMethod(), pixel_size_um=um_px)).jobs
    return one


def test_all_tissue_is_measured_and_nothing_where_nothing_is_wanted(tmp_path):
    field = draw_field(FieldSettings(seed=5, width_px=300, height_px=300, pixel_size_um=UM_PX))
    one = job(tmp_path, field.rgb)
    tissue, regions = measure_tissue(one)
    assert len(tissue.centre_xy) > 50
    assert (tissue.um_px, regions) == (UM_PX, ())
    some, _ = measure_tissue(one, lambda _: [shapely.Point(100, 100)])
    # One tile holds it all.
    np.testing.assert_array_equal(some.features, tissue.features)
    none, _ = measure_tissue(one, lambda _: [])
    assert len(none.centre_xy) == 0


def test_an_image_without_tissue_is_named(tmp_path):
    one = job(tmp_path, np.full((200, 200, 3), 245, np.uint8))
    with pytest.raises(ImageReadError, match=r"Image 'case\.png' is not assessable: no tissue was found"):
        measure_tissue(one)


def test_tiles_around_labels_and_a_few_others():
    grid = make_grid(UM_PX)
    tiles = list(grid.tiles((0, 0, 20_000, 20_000)))
    side = grid.settings.tile_px
    # In the corner of four tiles: neighbours of its cells lie in all of them.
    found = near_tiles(tiles, grid, [shapely.Point(side + 10, side + 10)], UM_PX)
    assert {(t.core.x // side, t.core.y // side) for t in found} >= {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert len(found) == 4 + 8
    assert found == [tile for tile in tiles if tile in found]
