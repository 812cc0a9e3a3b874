from __future__ import annotations

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.cells.grid import GridSettings, make_grid
from qupath_her2.records import Box

SIZES = st.floats(0.08, 0.55)
CORNER = st.floats(-3000, 20_000)
EXTENT = st.floats(0.5, 9000)


@given(SIZES)
def test_downsample_is_the_nearest_multiple_of_an_eighth(pixel_size_um: float) -> None:
    grid = make_grid(pixel_size_um)
    assert (grid.downsample * 8).is_integer()
    assert grid.um_px == pytest.approx(pixel_size_um * grid.downsample)
    others = [k / 8 for k in range(8, 70)]
    assert abs(grid.um_px - 0.5) <= min(abs(d * pixel_size_um - 0.5) for d in others) + 1e-9


@pytest.mark.parametrize(
    ("pixel_size_um", "downsample"), [(0.25, 2), (0.2527, 2), (0.5, 1), (0.125, 4), (1, 1)]
)
def test_common_scanner_pixel_sizes(pixel_size_um: float, downsample: float) -> None:
    assert make_grid(pixel_size_um).downsample == downsample


@given(SIZES, CORNER, CORNER, EXTENT, EXTENT, st.sampled_from([256, 512, 2048]))
def test_cores_cover_the_bounds_exactly_once(
    pixel_size_um: float, x: float, y: float, width: float, height: float, tile_px: int
) -> None:
    grid = make_grid(pixel_size_um, GridSettings(tile_px=tile_px))
    bounds = (x, y, x + width, y + height)
    tiles = list(grid.tiles(bounds))
    cores = [shapely.box(c.x, c.y, c.x + c.width, c.y + c.height) for c in (tile.core for tile in tiles)]
    union = shapely.union_all(cores)
    assert union.area == sum(core.area for core in cores)
    assert union.equals(shapely.box(*union.bounds))
    wanted = shapely.box(*(v / grid.downsample for v in bounds))
    assert union.buffer(1e-6).covers(wanted)
    # At most a group of 8 pixels and one more on every side.
    assert wanted.buffer(17, join_style="mitre").covers(union)


@given(SIZES, CORNER, CORNER, EXTENT, EXTENT)
def test_tiles_are_multiples_of_eight_on_one_lattice(
    pixel_size_um: float, x: float, y: float, width: float, height: float
) -> None:
    grid = make_grid(pixel_size_um, GridSettings(tile_px=512, halo_px=128))
    for tile in grid.tiles((x, y, x + width, y + height)):
        core, read = tile.core, tile.read
        assert all(v % 8 == 0 for v in (*core, *read))
        assert core.x // 512 == (core.x + core.width - 1) // 512
        assert core.y // 512 == (core.y + core.height - 1) // 512
        assert read == Box(core.x - 128, core.y - 128, core.width + 256, core.height + 256)
        assert all(a == b * grid.downsample for a, b in zip(grid.level0(read), read, strict=True))
