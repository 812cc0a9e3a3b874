"""Measuring one tile: read, unmix, detect, outline, measure; keep the cells of its core and the scored regions.

Tiles overlap by a halo, and every step reaches less far than the halo. A cell is kept by the one tile whose core holds
its nuclear centre, so neither tile size nor number of workers changes the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.existing_cells import PlacedCells, existing_in_tile
from qupath_her2.cells.grid import Grid, TileBox
from qupath_her2.cells.membrane.grading import estimate_membranes
from qupath_her2.cells.membrane.measurements import measurement_columns
from qupath_her2.cells.membrane.outlines import Outlines, OutlineSettings, outline_cells
from qupath_her2.cells.membrane.profile_features import ProfileFeatures, profile_features
from qupath_her2.cells.membrane.radial_profiles import (
    RadialProfiles,
    RadialProfileSettings,
    measure_radial_profiles,
)
from qupath_her2.cells.network_cells import ClassMap, NetworkCellSettings, network_cells_in_tile
from qupath_her2.cells.nuclei.candidates import stains_inside_and_around
from qupath_her2.cells.nuclei.detection import CellDetector, ClassicalDetector, Nuclei, Tile
from qupath_her2.cells.nuclei.star_contours import (
    polygon_centroids,
    polygons,
    rays_to_box,
)
from qupath_her2.cells.quality.focus import focus_map
from qupath_her2.cells.quality.settings import QualitySettings
from qupath_her2.cells.quality.stain_location import stain_places
from qupath_her2.cells.stain_planes import PlaneSettings, make_planes
from qupath_her2.cells.tile_cells import NEW_CELL, TileCells
from qupath_her2.cells.tumour.surroundings import tissue_features
from qupath_her2.records import Box
from qupath_her2.regions import RegionMap
from qupath_her2.slides.readers.slide import Slide, read_scaled
from qupath_her2.slides.stains.vectors import StainVectors

__all__ = ["TileWork", "measure_tile"]

#: Nuclei up to this far outside a scored region are outlined too, µm: they bound the cells at its border.
_MARGIN_UM = 20.0

#: Central zone of a cell without nucleus, as a fraction of the cell radius.
_MIDDLE_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class TileWork:
    """Inputs and settings shared by all tiles of an image.

    Cells come from one of three sources: `existing` cells, measured around the nuclei that `detector` finds in them;
    the probability maps of `classes`; or `detector` alone. Nuclei from probability maps must also pass the stain check
    of `stain_filter`. With `with_tissue`, the tissue around each cell is measured too, for the tumour finder; with
    `with_features`, what the membrane network sees of it is kept. `stained_od` is the DAB of a stained ray.
    """

    slide: Slide
    regions: RegionMap
    grid: Grid
    stains: StainVectors
    detector: CellDetector
    existing: PlacedCells | None
    planes: PlaneSettings
    outlines: OutlineSettings
    profiles: RadialProfileSettings
    classes: ClassMap | None = None
    network: NetworkCellSettings = field(default_factory=NetworkCellSettings)
    stain_filter: ClassicalDetector = field(default_factory=ClassicalDetector)
    with_tissue: bool = False
    with_features: bool = False
    stained_od: float = QualitySettings().positive_od


@dataclass(frozen=True, slots=True)
class _OutlinedCells:
    """M outlined nuclei of a tile, and the K cells measured on them; the other nuclei only bound these.

    Attributes
    ----------
    nuclei, outlines
        Of all M; radii of 0 where a nucleus is only a stand-in.
    of_cell
        int64 (K), index of each cell's nucleus.
    place
        float64 (K, 2), where the cell lies, pixels of the tile: the centre of its nucleus as its source gives it.
    existing_index
        int64 (K), index of the existing cell, `NEW_CELL` for a detected one.
    uncertainty, is_tumour, is_detected
        float32 (K), bool (K) and bool (K), see `TileCells`.
    """

    nuclei: Nuclei
    outlines: Outlines
    of_cell: NDArray[np.int64]
    place: NDArray[np.float64]
    existing_index: NDArray[np.int64]
    uncertainty: NDArray[np.float32]
    is_tumour: NDArray[np.bool_]
    is_detected: NDArray[np.bool_]


def _detect(work: TileWork, tile: Tile, box: TileBox) -> _OutlinedCells:
    """Detect nuclei and outline their cells, or those of the existing cells."""
    if work.classes is not None and work.existing is None:
        segmented = _segmented_box(work, box)
        away = np.array([segmented.x - box.read.x, segmented.y - box.read.y], np.float64)

        def is_nucleus(found: Nuclei) -> NDArray[np.bool_]:
            """Reject gaps, red blood cells and DAB clumps that the network took for nuclei."""
            stains = stains_inside_and_around(tile.planes, found.centre + away, found.radii)
            return work.stain_filter.is_blue(stains[:, :2], stains[:, 2:4])

        cells = network_cells_in_tile(work.classes, work.grid, segmented, work.network, is_nucleus)
        nuclei = Nuclei(cells.nuclei.centre + away, cells.nuclei.radii)
        return _new_cells(nuclei, cells.outlines, cells.uncertainty, cells.is_tumour)
    nuclei = work.detector.detect(tile)
    origin = np.array([box.read.x, box.read.y], np.float64)
    # Nuclei far from all regions are dropped before the costly outlines.
    near = work.regions.near(
        _level0(nuclei.centre, origin, work.grid), _MARGIN_UM / work.grid.um_px * work.grid.downsample
    )
    nuclei = Nuclei(nuclei.centre[near], nuclei.radii[near])
    if work.existing is None:
        outlines = outline_cells(tile.planes, nuclei.centre, nuclei.radii, work.outlines)
        unknown = np.full(len(nuclei), np.nan, np.float32)
        return _new_cells(nuclei, outlines, unknown, np.ones(len(nuclei), bool))
    found, place, index = existing_in_tile(work.existing, nuclei, work.grid, box)
    outlines = outline_cells(tile.planes, found.nuclei.centre, found.nuclei.radii, work.outlines)
    # A stand-in led to the membrane; it is no nucleus to be measured.
    radii = np.where(found.is_stand_in[:, None], np.float32(0), found.nuclei.radii)
    nuclei = Nuclei(found.nuclei.centre, radii)
    unknown = np.full(len(place), np.nan, np.float32)
    every = np.ones(len(place), bool)
    return _OutlinedCells(nuclei, outlines, found.of_cell, place, index, unknown, every, found.is_detected)


def _new_cells(
    nuclei: Nuclei, outlines: Outlines, uncertainty: NDArray[np.float32], is_tumour: NDArray[np.bool_]
) -> _OutlinedCells:
    """Return newly detected cells, one for each nucleus."""
    n = len(nuclei)
    new = np.full(n, NEW_CELL, np.int64)
    every = np.ones(n, bool)
    return _OutlinedCells(nuclei, outlines, np.arange(n), nuclei.centre, new, uncertainty, is_tumour, every)


def _segmented_box(work: TileWork, box: TileBox) -> Box:
    """Return the box to segment: the scored part of the core with the halo around it, working pixels.

    Inference dominates the run time of network cells, so empty parts of a tile are skipped.
    """
    core, read, d = box.core, box.read, work.grid.downsample
    bounds = work.regions.bounds_within(work.grid.level0(core))
    if bounds is None:
        return Box(read.x, read.y, 0, 0)
    halo = work.grid.settings.halo_px
    low = [
        max(math.floor(v / d) - halo, least) for v, least in zip(bounds[:2], (read.x, read.y), strict=True)
    ]
    most = (read.x + read.width, read.y + read.height)
    high = [min(math.ceil(v / d) + halo, last) for v, last in zip(bounds[2:], most, strict=True)]
    return Box(low[0], low[1], high[0] - low[0], high[1] - low[1])


def _level0(xy: NDArray[np.float64], origin: NDArray[np.float64], grid: Grid) -> NDArray[np.float64]:
    """Convert tile pixels (pixel centres at whole numbers) to level-0 pixels (pixel corners at whole numbers)."""
    return (xy + origin + 0.5) * grid.downsample


def measure_tile(work: TileWork, box: TileBox) -> TileCells:
    """Measure the cells whose nuclear centre lies in the core of a tile, and whose centroid in a scored region.

    Parameters
    ----------
    work
        Inputs and settings of the image.
    box
        The tile, working pixels.

    Returns
    -------
    TileCells
        Cells of the tile's core, in no particular order.

    Raises
    ------
    ImageReadError
        When the file is damaged or gone.
    """
    grid = work.grid
    x, y, width, height = box.read
    corner = grid.level0(box.read)
    rgb = read_scaled(work.slide, corner.x, corner.y, width, height, grid.downsample)
    planes = make_planes(rgb, work.stains, grid.um_px, work.planes)
    origin = np.array([x, y], np.float64)
    cells = _detect(work, Tile(rgb, planes), box)
    nuclei, outlines = cells.nuclei, cells.outlines
    has_nucleus = np.asarray((nuclei.radii > 0).any(1))
    # A cell without nucleus gets a central zone in its place, so that its cytoplasm is measured where that of other
    # cells is.
    middle = np.broadcast_to(_MIDDLE_SHARE * outlines.radii.mean(1)[:, None], nuclei.radii.shape)
    middle = np.where(has_nucleus[:, None], nuclei.radii, middle).astype(np.float32)
    profiles = measure_radial_profiles(planes, nuclei.centre, middle, outlines.radii, work.profiles)
    um_px = np.float32(grid.um_px)
    pixel_size_um = grid.um_px / grid.downsample
    features = profile_features(profiles, outlines.neighbour, outlines.radii * um_px, pixel_size_um)
    # The central zone stood in for a nucleus only for the cytoplasm.
    profiles.nucleus_od[~has_nucleus] = np.nan
    centre_xy = _level0(cells.place, origin, grid)
    # Cores are bounded by pixel corners; tile coordinates refer to pixel centres.
    place = cells.place + origin + 0.5
    core = box.core
    mine = (place[:, 0] >= core.x) & (place[:, 0] < core.x + core.width)
    mine &= (place[:, 1] >= core.y) & (place[:, 1] < core.y + core.height)
    size = np.array([work.slide.width, work.slide.height], np.float64)
    # Existing cells may be centred beside the image; they are measured and returned like all others.
    mine &= np.all((centre_xy > 0) & (centre_xy < size), axis=1) | (cells.existing_index != NEW_CELL)
    low, high = -0.5 - origin, size / grid.downsample - 0.5 - origin
    radii = _clipped(nuclei.centre, outlines.radii, low, high)
    nucleus = _clipped(nuclei.centre, nuclei.radii, low, high)
    counted_xy = _counted_xy(work, cells, radii, origin)
    region = work.regions.assign(counted_xy)
    keep = np.flatnonzero(mine & (region >= 0))
    # Of tiles that only touch a region nothing is kept, and their focus need not be measured.
    image = (int(work.slide.width / grid.downsample), int(work.slide.height / grid.downsample))
    focus = focus_map(rgb if len(keep) else rgb[:0], work.stains, grid.um_px, (x, y), image)
    blur_um = focus.at(place[keep])
    found = _take(keep, cells, radii, nucleus, counted_xy, region, blur_um, origin, grid)
    shapes_um = radii * um_px, nucleus * um_px
    found = _with_measurements(found, work, cells.of_cell[keep], profiles, features, shapes_um)
    if not work.with_tissue:
        return found
    # As for the focus.
    measured = slice(None) if len(found) else slice(0)
    tissue = tissue_features(planes, nuclei.centre[measured], nuclei.radii[measured])
    return replace(found, tissue=tissue[cells.of_cell[keep]])


def _counted_xy(
    work: TileWork, cells: _OutlinedCells, radii: NDArray[np.float32], origin: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the points, level-0 pixels, that decide in which region the K cells are counted: QuPath's centroids.

    QuPath counts a detection in an annotation that holds the centroid of its outline (0.6 and later; 0.5 takes that of
    its nucleus). By any other point its counts and H-score of a region would differ from ours at the region's edge.
    """
    if work.existing is not None:
        return work.existing.centroids_xy[cells.existing_index]
    centroids = cells.nuclei.centre + polygon_centroids(radii)
    return _level0(centroids, origin, work.grid)[cells.of_cell]


def _take(
    keep: NDArray[np.intp],
    cells: _OutlinedCells,
    outline_radii: NDArray[np.float32],
    nucleus_radii: NDArray[np.float32],
    counted_xy: NDArray[np.float64],
    region: NDArray[np.int32],
    blur_um: NDArray[np.float32],
    origin: NDArray[np.float64],
    grid: Grid,
) -> TileCells:
    """Return the chosen cells in level-0 pixels, not measured yet; `origin` is the tile's corner."""
    row = cells.of_cell[keep]
    centre = cells.nuclei.centre[row]
    return TileCells(
        _level0(cells.place[keep], origin, grid),
        counted_xy[keep],
        _level0(polygons(centre, outline_radii[row]), origin, grid).astype(np.float32),
        _level0(polygons(centre, nucleus_radii[row]), origin, grid).astype(np.float32),
        region[keep],
        cells.existing_index[keep],
        np.zeros((len(keep), 0), np.float32),
        np.zeros((len(keep), 0), np.float32),
        np.zeros((len(keep), 0, 0), np.float16),
        blur_um,
        cells.uncertainty[keep],
        cells.is_tumour[keep],
        cells.is_detected[keep],
        np.zeros((len(keep), 0), np.float32),
        np.full(len(keep), np.nan, np.float32),
    )


def _with_measurements(
    found: TileCells,
    work: TileWork,
    row: NDArray[np.int64],
    profiles: RadialProfiles,
    features: ProfileFeatures,
    shapes_um: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> TileCells:
    """Return cells with their measurements; `row` is the row of each in `profiles`, `features` and `shapes_um`.

    Together they take more than 2 kB a cell: they end with the tile, or a whole slide would not fit into memory.
    `shapes_um` are the radii of outlines and of nuclei.
    """
    profiles = RadialProfiles(*(getattr(profiles, f.name)[row] for f in fields(RadialProfiles)))
    features = features[row]
    estimates = estimate_membranes(features, profiles)
    return replace(
        found,
        measurements=measurement_columns(profiles, estimates, *(shape[row] for shape in shapes_um)),
        stain_places=stain_places(profiles, work.stained_od),
        features=features if work.with_features else found.features,
    )


def _clipped(
    centre: NDArray[np.float64],
    radii: NDArray[np.float32],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return outlines clipped to the image, whose corners are `low` and `high`."""
    clipped = radii.copy()
    # Existing cells may be centred on or beyond its edge, where there is nothing to clip them to; most others lie far
    # from it.
    room = np.minimum(centre - low, high - centre).min(1)
    near = np.flatnonzero((room > 0) & (room < radii.max(1)))
    rays = rays_to_box(centre[near], low, high, radii.shape[1])
    clipped[near] = np.minimum(radii[near], rays).astype(np.float32)
    return clipped
