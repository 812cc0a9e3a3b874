from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest
import shapely

from qupath_her2.cells.grid import GridSettings, make_grid
from qupath_her2.cells.nuclei.contours import N_ANGLES
from qupath_her2.cells.nuclei.detection import Nuclei
from qupath_her2.cells.samples import read_samples, sampled_nuclei
from qupath_her2.cells.stain_planes import PlaneSettings
from qupath_her2.records import Region
from qupath_her2.regions import map_regions
from tests.helpers.drawn_planes import STAINS, ArraySlide


def position_rgb(width: int, height: int) -> np.ndarray:
    """An image whose colours encode the position: red and green count blocks of 16 pixels."""
    rows, columns = np.mgrid[:height, :width] // 16
    return np.stack([columns, rows, np.full_like(rows, 99)], -1).astype(np.uint8)


def samples_of(shape: shapely.Geometry, pixel_size_um: float = 0.5, side: int = 3000, **grid: int):
    regions = map_regions([Region(UUID(int=1), shape, "tumour")])
    slide = ArraySlide(position_rgb(side, side))
    return read_samples(
        slide, regions, make_grid(pixel_size_um, GridSettings(**grid)), STAINS, PlaneSettings()
    )


def corner_of(sample) -> tuple[int, int]:
    """The corner of a sample, in blocks of 16 level-0 pixels."""
    return tuple(int(v) for v in sample.tile.rgb[0, 0, :2])


@pytest.mark.parametrize("side", [100, 500, 1200, 2900])
def test_windows_lie_in_the_regions(side: int) -> None:
    shape = shapely.box(40, 40, 40 + side, 40 + side)
    found = samples_of(shape)
    assert 1 <= len(found) <= 16
    assert len({corner_of(sample) for sample in found}) == len(found)
    for sample in found:
        x, y = (16 * v for v in corner_of(sample))
        height, width = sample.inside.shape
        assert sample.tile.rgb.shape == (height, width, 3)
        assert sample.tile.planes.dab.shape == (height, width)
        rows, columns = np.mgrid[:height, :width]
        # `inside` is decided for blocks of 8 pixels, at their centre.
        true = shapely.contains_xy(shape, (columns // 8) * 8 + 4 + x, (rows // 8) * 8 + 4 + y)
        assert (sample.inside == true).all()
        assert sample.inside.any()


def test_windows_are_spread_over_a_large_region() -> None:
    corners = np.array([corner_of(sample) for sample in samples_of(shapely.box(0, 0, 3000, 3000))]) * 16
    assert (np.ptp(corners, axis=0) > 1500).all()


def test_windows_do_not_depend_on_tiles() -> None:
    shape = shapely.box(100, 300, 2000, 2500)
    corners = [[corner_of(s) for s in samples_of(shape, tile_px=tile_px)] for tile_px in (256, 2048)]
    assert corners[0] == corners[1]


def test_windows_are_read_at_the_working_scale() -> None:
    (first, *_) = samples_of(shapely.box(0, 0, 1500, 1500), pixel_size_um=0.25)
    rgb = first.tile.rgb.astype(int)
    # At 0.25 µm a working pixel is two wide: a block of 16 pixels becomes 8.
    assert rgb[0, 8, 0] - rgb[0, 0, 0] == 1
    assert first.tile.planes.um_px == 0.5


def test_hole_of_a_region_is_not_inside() -> None:
    shape = shapely.box(0, 0, 512, 512).difference(shapely.box(64, 64, 128, 128))
    first = next(s for s in samples_of(shape) if corner_of(s) == (0, 0))
    assert not first.inside[64:128, 64:128].any()
    assert first.inside[:64].all()


class OneNucleus:
    """A detector that finds a nucleus of 4 px in the middle of each half of a tile."""

    def prepared(self, tiles):
        assert len(tiles) > 0
        return self

    def detect(self, tile):
        height, width = tile.rgb.shape[:2]
        centre = np.array([[width / 4, height / 2], [3 * width / 4, height / 2]])
        return Nuclei(centre, np.full((2, N_ANGLES), 4, np.float32))


def test_nuclei_of_samples_are_those_in_the_scored_parts() -> None:
    samples = samples_of(shapely.box(500, 500, 2500, 2500))
    expected = sum(
        int(sample.inside[sample.inside.shape[0] // 2, k * sample.inside.shape[1] // 4])
        for sample in samples
        for k in (1, 3)
    )
    found = sampled_nuclei(samples, OneNucleus(), 0.5)
    assert found.shape == (expected,)
    assert 0 < expected <= 2 * len(samples)
    # A regular polygon of radius 2 µm.
    assert found == pytest.approx(N_ANGLES / 2 * np.sin(2 * np.pi / N_ANGLES) * 4)
