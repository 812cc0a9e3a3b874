from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.cells.grid import GridSettings, TileBox, make_grid
from qupath_her2.cells.membrane.measurements import MEASUREMENT_NAMES
from qupath_her2.cells.membrane.outlines import OutlineSettings
from qupath_her2.cells.membrane.radial_profiles import RadialProfileSettings
from qupath_her2.cells.nuclei.contours import N_ANGLES
from qupath_her2.cells.nuclei.detection import Nuclei, Tile
from qupath_her2.cells.nuclei.star_contours import polygon_areas
from qupath_her2.cells.stain_planes import PlaneSettings
from qupath_her2.cells.tile import TileWork, measure_tile
from qupath_her2.cells.tile_cells import NEW_CELL, TileCells
from qupath_her2.cells.tumour.surroundings import FEATURE_NAMES
from qupath_her2.records import Box
from qupath_her2.regions import map_regions
from tests.helpers.drawn_planes import STAINS, ArraySlide


class FixedNuclei:
    """A detector that finds circles at the same tile pixels in every tile."""

    name = "fixed 1"

    def __init__(self, *centres: tuple[float, float]) -> None:
        self.centres = np.array(centres, np.float64)

    def prepared(self, samples: list[Tile]) -> FixedNuclei:
        return self

    def detect(self, tile: Tile) -> Nuclei:
        return Nuclei(self.centres, np.full((len(self.centres), N_ANGLES), 5, np.float32))


def measured(
    detector: FixedNuclei, region, tile: TileBox, pixel_size_um: float = 0.5, side: int = 400, **more: bool
):
    work = TileWork(
        ArraySlide(np.full((side, side, 3), 235, np.uint8)), map_regions([region]),
        make_grid(pixel_size_um, GridSettings(tile_px=64, halo_px=16)), STAINS, detector, None,
        PlaneSettings(), OutlineSettings(), RadialProfileSettings(), **more,
    )  # fmt: skip
    return measure_tile(work, tile)


def radii_um(outlines: np.ndarray, found: TileCells, pixel_size_um: float) -> np.ndarray:
    """Distances of the vertices from the centres of their cells, µm."""
    return np.hypot(*(outlines - found.centre_xy[:, None]).transpose(2, 0, 1)) * pixel_size_um


@pytest.mark.parametrize("pixel_size_um", [0.5, 0.25])
def test_cells_of_the_core_in_level_0_pixels(pixel_size_um: float, tumour) -> None:
    """Tile pixels have their centres at whole numbers, level-0 pixels their corners."""
    # The core covers tile pixels 15.5 to 79.5, seen from the first pixel of the halo.
    detector = FixedNuclei((15.0, 40.0), (16.0, 41.0), (79.0, 42.0), (80.0, 43.0), (40.0, 12.0))
    tile = TileBox(Box(64, 64, 64, 64), Box(48, 48, 96, 96))
    found = measured(detector, tumour(0, 0, 400, 400), tile, pixel_size_um)
    scale = 0.5 / pixel_size_um
    assert found.centre_xy == pytest.approx(scale * np.array([[64.5, 89.5], [127.5, 90.5]]))
    assert (found.existing_index == NEW_CELL).all()
    assert radii_um(found.nucleus_xy, found, pixel_size_um) == pytest.approx(2.5, rel=1e-4)
    # A regular polygon of that radius.
    assert found.nucleus_area_um2 == pytest.approx(N_ANGLES / 2 * np.sin(2 * np.pi / N_ANGLES) * 2.5**2)
    outline = found.measurements[:, MEASUREMENT_NAMES.index("HER2: Cell area µm^2")]
    assert outline == pytest.approx(polygon_areas(radii_um(found.cell_xy, found, pixel_size_um)), rel=1e-3)


def test_cells_outside_the_regions_bound_their_neighbours_and_are_dropped(tumour) -> None:
    detector = FixedNuclei((40.0, 40.0), (54.0, 40.0))
    tile = TileBox(Box(0, 0, 64, 64), Box(-16, -16, 96, 96))
    found = measured(detector, tumour(0, 0, 32, 400), tile)
    assert found.centre_xy == pytest.approx(np.array([[24.5, 24.5]]))
    # The neighbour is 14 pixels away, so the outline ends half-way (territories have pixels of 1 µm), not at the 7 µm
    # expected of an isolated cell.
    radii = radii_um(found.cell_xy, found, 0.5)[0]
    assert radii[0] == pytest.approx(3.5, abs=0.75)
    assert radii[18] > 6


def test_no_nuclei_give_no_cells(tumour) -> None:
    detector = FixedNuclei()
    detector.centres = np.zeros((0, 2))
    tile = TileBox(Box(0, 0, 64, 64), Box(-16, -16, 96, 96))
    assert len(measured(detector, tumour(0, 0, 400, 400), tile)) == 0


def test_tissue_is_measured_only_where_tumour_is_searched_for(tumour) -> None:
    """One row for each kept cell, of the same width in tiles that keep none."""
    detector = FixedNuclei((30.0, 40.0), (60.0, 41.0))
    tile = TileBox(Box(64, 64, 64, 64), Box(48, 48, 96, 96))
    n_features = len(FEATURE_NAMES)
    for region, n in (
        (tumour(0, 0, 400, 400), 2),
        (tumour(100, 0, 400, 400), 1),
        (tumour(300, 300, 400, 400), 0),
    ):
        assert measured(detector, region, tile).tissue.shape == (n, 0)
        found = measured(detector, region, tile, with_tissue=True)
        assert found.tissue.shape == (n, n_features)
        assert np.isfinite(found.tissue).all()
        assert np.isnan(found.tumour_probability).all()
