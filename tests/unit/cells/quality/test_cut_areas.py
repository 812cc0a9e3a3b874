from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import shapely
from scipy.spatial import cKDTree

from qupath_her2.cells.grid import GridSettings, make_grid
from qupath_her2.cells.measure import CellSettings, measure_cells
from qupath_her2.cells.quality.cut_areas import check_cut, cut_out_of_focus, cut_warning
from qupath_her2.cells.quality.settings import QualitySettings
from qupath_her2.records import CutArea
from qupath_her2.regions import map_regions
from qupath_her2.slides.stains.vectors import StainVectors
from qupath_her2.synthetic.field import Field, draw_field
from qupath_her2.synthetic.presets import preset
from tests.helpers.drawn_planes import ArraySlide

LIMITS = QualitySettings()
#: 0.5 µm per pixel, so that a block is 32 level-0 pixels wide.
GRID = make_grid(0.5)
SIDE_PX = 512


@pytest.fixture(scope="module")
def field() -> Field:
    size = {"pixel_size_um": 0.5, "width_px": SIDE_PX, "height_px": SIDE_PX}
    return draw_field(preset("score", 31, score="2+", out_of_focus=0.0, **size))


def half_blurred(rgb: np.ndarray) -> np.ndarray:
    blurred = rgb.copy()
    blurred[:, :160] = cv2.GaussianBlur(rgb, (0, 0), 3.0)[:, :160]
    return blurred


def measured(rgb: np.ndarray, field: Field, tumour, **grid: int):
    s = field.settings
    stains = StainVectors(s.haematoxylin_vector, s.dab_vector, s.white)
    return measure_cells(
        ArraySlide(rgb), [tumour(0, 0, SIDE_PX, SIDE_PX)], pixel_size_um=0.5, stains=stains,
        settings=CellSettings(grid=GridSettings(**grid)),
    )  # fmt: skip


def test_cells_of_a_blurred_part_are_cut_out_and_the_rest_stays_as_it_is(field: Field, tumour) -> None:
    sharp = measured(field.rgb, field, tumour)
    found = measured(half_blurred(field.rgb), field, tumour)
    assert sharp.cut == ()
    assert found.refusal is None
    (area,) = found.cut
    x0, y0, x1, y1 = area.geometry.bounds
    # Blocks without cells belong to it only between others.
    assert x0 <= 32
    assert y1 - y0 >= SIDE_PX - 128
    # Within two blocks of the border it may be either.
    assert x1 == pytest.approx(160, abs=64)
    assert found.table.centroid_xy[:, 0].min() > 160 - 64
    right = x1 + 40
    before, after = (t.centroid_xy[t.centroid_xy[:, 0] > right] for t in (sharp.table, found.table))
    # The detector adapts to the whole picture, so that a nucleus at its limit may come or go.
    assert (cKDTree(after).query(before)[0] < 2).mean() > 0.97
    assert (cKDTree(before).query(after)[0] < 2).mean() > 0.97
    assert any("lie out of focus" in warning for warning in found.warnings)


def test_a_sharp_field_loses_no_cell(field: Field, tumour) -> None:
    with_cuts = measured(field.rgb, field, tumour)
    without = replace(LIMITS, max_edge_blur_um=10.0)
    s = field.settings
    stains = StainVectors(s.haematoxylin_vector, s.dab_vector, s.white)
    everything = measure_cells(
        ArraySlide(field.rgb), [tumour(0, 0, SIDE_PX, SIDE_PX)], pixel_size_um=0.5, stains=stains,
        settings=CellSettings(quality=without),
    )  # fmt: skip
    assert np.array_equal(with_cuts.table.measurements, everything.table.measurements, equal_nan=True)


def test_the_cut_does_not_depend_on_the_tiles(field: Field, tumour) -> None:
    picture = half_blurred(field.rgb)
    one, many = (measured(picture, field, tumour, tile_px=side) for side in (2048, 128))
    assert np.array_equal(one.table.centroid_xy, many.table.centroid_xy)
    assert one.cut[0].geometry.equals(many.cut[0].geometry)
    assert one.cut[0].n_cells == many.cut[0].n_cells


def test_a_picture_out_of_focus_as_a_whole_is_refused(field: Field, tumour) -> None:
    found = measured(cv2.GaussianBlur(field.rgb, (0, 0), 3.0), field, tumour)
    assert found.refusal is not None
    assert found.refusal.code == "blurred"


def test_only_cells_of_blurred_blocks_and_of_gaps_between_them_are_cut(tile_cells, tumour) -> None:
    found = tile_cells(3, 6)
    # Blocks (column) 2 and 4 of row 1 are blurred, block 3 between them has no edges, blocks 0 and 7 are sharp.
    found.centre_xy[:] = [[80, 40], [144, 40], [112, 40], [16, 40], [240, 40], [-5, 40]]
    blur = np.array([1.0, 1.0, np.nan, 0.3, 0.3, 0.3], np.float32)
    found = replace(found, edge_blur_um=blur)
    kept, area = cut_out_of_focus(found, map_regions([tumour(0, 0, 500, 48)]), GRID, LIMITS)
    assert area is not None
    assert kept.centre_xy[:, 0].tolist() == [16, 240, -5]
    assert area.n_cells == 3
    # Clipped to the region.
    assert area.geometry.bounds == (64, 32, 160, 48)


def test_without_blurred_cells_nothing_is_cut(tile_cells, tumour) -> None:
    found = replace(tile_cells(3, 4), edge_blur_um=np.array([0.3, np.nan, 0.7, 0.5], np.float32))
    kept, area = cut_out_of_focus(found, map_regions([tumour(0, 0, 500, 500)]), GRID, LIMITS)
    assert kept is found
    assert area is None


def test_the_warning_says_how_much() -> None:
    area = CutArea("out of focus", shapely.box(0, 0, 400, 1000), 134)
    sentence = cut_warning(area, 1120, 0.5)
    assert "134 of 1,120 cells (12%) lie out of focus, on 0.1 mm²" in sentence


@pytest.mark.parametrize(("n_cut", "refused"), [(0, False), (400, False), (401, True), (1000, True)])
def test_too_much_out_of_focus_refuses_the_image(n_cut: int, refused: bool) -> None:
    refusal = check_cut(CutArea("out of focus", shapely.box(0, 0, 1, 1), n_cut), 1000, LIMITS)
    assert (refusal is not None) == refused
    if refusal is not None:
        assert refusal.code == "blurred"
