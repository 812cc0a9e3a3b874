"""One tile: read, unmix, detect, outline, measure, and keep what belongs to its core and to a scored region."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.existing_cells import given_in_tile
from qupath_her2.cells.grid import Grid, TileBox
from qupath_her2.cells.membrane.outlines import N_SECTORS, Outlines, OutlineSettings, outline_cells
from qupath_her2.cells.membrane.profile_features import FEATURE_NAMES, Rings, ring_features
from qupath_her2.cells.membrane.radial_profiles import N_READINGS, Sectors, SectorSettings, measure_sectors
from qupath_her2.cells.network_cells import ClassMap, NetworkCellSettings, network_in_tile
from qupath_her2.cells.nuclei.candidates import inside_outside
from qupath_her2.cells.nuclei.contours import N_ANGLES
from qupath_her2.cells.nuclei.detection import CellDetector, ClassicalDetector, Nuclei, Tile
from qupath_her2.cells.nuclei.star_contours import FAST_MATH, bilinear, polygons, rays_to_box
from qupath_her2.regions import RegionMap
from qupath_her2.cells.stain_planes import Plane, Planes, PlaneSettings, make_planes
from qupath_her2.project.geojson.existing_cells import ExistingCells
from qupath_her2.records import Box
from qupath_her2.slides.readers.slide import Slide, read_scaled
from qupath_her2.slides.stains.vectors import StainVectors

__all__ = ["NEW_CELL", "TileCells", "TileWork", "join", "measure_tile"]

#: `TileCells.given` of a cell that was found here.
NEW_CELL = -1

#: Nuclei this near to a scored region still bound its cells, µm.
_MARGIN_UM = 20.0

#: The middle of a cell, as a share of its radius.
_MIDDLE_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class TileWork:
    """What every tile of an image shares.

    `existing_centres` are the `given_centres` of `existing`; with `classes`, cells are found in what a network says,
    where `judge` sees haematoxylin.
    """

    slide: Slide
    regions: RegionMap
    grid: Grid
    stains: StainVectors
    detector: CellDetector
    existing: ExistingCells | None
    existing_centres: NDArray[np.float64] | None
    planes: PlaneSettings
    outlines: OutlineSettings
    sectors: SectorSettings
    classes: ClassMap | None = None
    network: NetworkCellSettings = field(default_factory=NetworkCellSettings)
    judge: ClassicalDetector = field(default_factory=ClassicalDetector)


@dataclass(frozen=True, slots=True)
class TileCells:
    """N measured cells.

    `centre_xy` float64 (N, 2), `cell_xy` float32 (N, 36, 2), `nucleus_xy` float32 (N, 32, 2): level-0 pixels;
    `radii_um` float32 (N, 36), `nucleus_radii_um` float32 (N, 32) (all 0: no nucleus); `region` int32 (N);
    `given` int64 (N), index of the existing cell measured, -1 for a new one; `rings` float16 (N, 36, C), see
    `features.ring_features`; `sectors`;
    `ridge_share` float32 (N), the share of the cell's DAB that stands in thin lines, NaN without DAB;
    `uncertainty` float32 (N), of a Bayesian network's cells, see `network_in_tile`, NaN of all others.
    """

    centre_xy: NDArray[np.float64]
    cell_xy: NDArray[np.float32]
    nucleus_xy: NDArray[np.float32]
    radii_um: NDArray[np.float32]
    nucleus_radii_um: NDArray[np.float32]
    region: NDArray[np.int32]
    given: NDArray[np.int64]
    rings: Rings
    sectors: Sectors
    ridge_share: NDArray[np.float32]
    uncertainty: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.centre_xy)

    @classmethod
    def none(cls) -> TileCells:
        """Return no cells."""
        f32 = np.float32
        return cls(
            np.zeros((0, 2)),
            np.zeros((0, N_SECTORS, 2), f32),
            np.zeros((0, N_ANGLES, 2), f32),
            np.zeros((0, N_SECTORS), f32),
            np.zeros((0, N_ANGLES), f32),
            np.zeros(0, np.int32),
            np.zeros(0, np.int64),
            np.zeros((0, N_SECTORS, len(FEATURE_NAMES)), np.float16),
            Sectors(*np.zeros((N_READINGS, 0, N_SECTORS), f32)),
            np.zeros(0, f32),
            np.zeros(0, f32),
        )


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _ridge_shares(
    dab: Plane, ridge: Plane, centres: NDArray[np.float64], radii: NDArray[np.float32]
) -> NDArray[np.float32]:
    n, n_sectors = radii.shape
    shares = np.empty(n, np.float32)
    for k in range(n):
        lines, total = 0.0, 0.0
        for a in range(0, n_sectors, 2):
            cosine, sine = np.cos(2 * np.pi * a / n_sectors), np.sin(2 * np.pi * a / n_sectors)
            for r in range(1, int(radii[k, a]) + 3):
                x, y = centres[k, 0] + r * cosine, centres[k, 1] + r * sine
                # A ring of radius r holds area in proportion to r.
                lines += r * max(bilinear(ridge, x, y), 0.0)
                total += r * max(bilinear(dab, x, y), 0.0)
        shares[k] = lines / total if total > 0 else np.nan
    return shares


def _found(work: TileWork, tile: Tile, box: TileBox) -> tuple[Nuclei, Outlines, NDArray[np.float32]]:
    """Find nuclei and outline their cells: all that a network sees, or the classical ones near the scored regions.

    Beside them is how unsure a network is of each.
    """
    if work.classes is not None:
        seen = _seen(work, box)
        away = np.array([seen.x - box.read.x, seen.y - box.read.y], np.float64)

        def is_nucleus(found: Nuclei) -> NDArray[np.bool_]:
            """Gaps, red cells and clumps of DAB are no nuclei, whatever a network says."""
            stains = inside_outside(tile.planes, found.centre + away, found.radii)
            return work.judge.is_blue(stains[:, :2], stains[:, 2:4])

        nuclei, outlines, unsure = network_in_tile(work.classes, work.grid, seen, work.network, is_nucleus)
        return Nuclei(nuclei.centre + away, nuclei.radii), outlines, unsure
    nuclei = work.detector.detect(tile)
    origin = np.array([box.read.x, box.read.y], np.float64)
    near = work.regions.near(
        _level0(nuclei.centre, origin, work.grid), _MARGIN_UM / work.grid.um_px * work.grid.downsample
    )
    nuclei = Nuclei(nuclei.centre[near], nuclei.radii[near])
    outlines = outline_cells(tile.planes, nuclei.centre, nuclei.radii, work.outlines)
    return nuclei, outlines, np.full(len(nuclei), np.nan, np.float32)


def _seen(work: TileWork, box: TileBox) -> Box:
    """Return what a network must look at: the scored ground of the core, and the halo round it."""
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
    """From pixels of a tile, whose centres are whole numbers, to level-0 pixels, whose corners are."""
    return (xy + origin + 0.5) * grid.downsample


def measure_tile(work: TileWork, box: TileBox) -> TileCells:
    """Measure the cells whose nuclear centre lies in the core of a tile and in a scored region.

    Parameters
    ----------
    work
        What the tiles of the image share.
    box
        The tile, working pixels.
    """
    grid = work.grid
    x, y, width, height = box.read
    corner = grid.level0(box.read)
    rgb = read_scaled(work.slide, corner.x, corner.y, width, height, grid.downsample)
    planes = make_planes(rgb, work.stains, grid.um_px, work.planes)
    origin = np.array([x, y], np.float64)
    if work.existing is None or work.existing_centres is None:
        nuclei, outlines, unsure = _found(work, Tile(rgb, planes), box)
        given = np.full(len(nuclei), NEW_CELL, np.int64)
    else:
        nuclei, outlines, given = given_in_tile(
            work.existing, work.existing_centres, planes, grid, box, work.outlines
        )
        unsure = np.full(len(nuclei), np.nan, np.float32)
    has_nucleus = np.asarray((nuclei.radii > 0).any(1))
    # The middle of a cell without nucleus is read as one: cytoplasm begins beyond it, as in all cells.
    middle = np.broadcast_to(_MIDDLE_SHARE * outlines.radii.mean(1)[:, None], nuclei.radii.shape)
    middle = np.where(has_nucleus[:, None], nuclei.radii, middle).astype(np.float32)
    sectors = measure_sectors(planes, nuclei.centre, middle, outlines.radii, work.sectors)
    um_px = np.float32(grid.um_px)
    pixel_size_um = grid.um_px / grid.downsample
    rings = ring_features(sectors, outlines.neighbour, outlines.radii * um_px, pixel_size_um)
    sectors.nucleus_od[~has_nucleus] = np.nan
    centre_xy = _level0(nuclei.centre, origin, grid)
    # Cores are bounded by corners of pixels, of which a tile counts the centres.
    place = nuclei.centre + origin + 0.5
    core = box.core
    mine = (place[:, 0] >= core.x) & (place[:, 0] < core.x + core.width)
    mine &= (place[:, 1] >= core.y) & (place[:, 1] < core.y + core.height)
    size = np.array([work.slide.width, work.slide.height], np.float64)
    mine &= np.all((centre_xy > 0) & (centre_xy < size), axis=1) | (given != NEW_CELL)
    region = work.regions.assign(centre_xy)
    keep = np.flatnonzero(mine & (region >= 0))
    return _kept(keep, planes, nuclei, outlines, sectors, rings, region, given, unsure, origin, grid, size)


def _kept(
    keep: NDArray[np.intp],
    planes: Planes,
    nuclei: Nuclei,
    outlines: Outlines,
    sectors: Sectors,
    rings: Rings,
    region: NDArray[np.int32],
    given: NDArray[np.int64],
    unsure: NDArray[np.float32],
    origin: NDArray[np.float64],
    grid: Grid,
    size: NDArray[np.float64],
) -> TileCells:
    centre, radii, nucleus = nuclei.centre[keep], outlines.radii[keep], nuclei.radii[keep]
    # What is found here ends with the picture; an existing cell keeps the outline that its owner gave it.
    is_new = given[keep] == NEW_CELL
    low, high = -0.5 - origin, size / grid.downsample - 0.5 - origin
    radii, nucleus = (
        np.where(is_new[:, None], np.minimum(r, rays_to_box(centre, low, high, r.shape[1])), r).astype(
            np.float32
        )
        for r in (radii, nucleus)
    )
    um_px = np.float32(grid.um_px)
    return TileCells(
        _level0(centre, origin, grid),
        _level0(polygons(centre, radii), origin, grid).astype(np.float32),
        _level0(polygons(centre, nucleus), origin, grid).astype(np.float32),
        radii * um_px,
        nucleus * um_px,
        region[keep],
        given[keep],
        rings[keep],
        Sectors(*(getattr(sectors, f.name)[keep] for f in fields(Sectors))),
        _ridge_shares(planes.dab, planes.ridge, centre, radii),
        unsure[keep],
    )


def join(parts: Sequence[TileCells]) -> TileCells:
    """Join the cells of tiles and order them from top to bottom, so that the tiling leaves no trace.

    Parameters
    ----------
    parts
        The cells of each tile, in any order; none at all gives no cells.
    """
    if not parts:
        return TileCells.none()
    y = np.concatenate([part.centre_xy[:, 1] for part in parts])
    x = np.concatenate([part.centre_xy[:, 0] for part in parts])
    # Existing cells lie anywhere, so that their last digits depend on the tile.
    order = np.lexsort((x.round(3), y.round(3)))

    def column(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(part, name) for part in parts])[order]

    sectors = Sectors(
        *(np.concatenate([getattr(part.sectors, f.name) for part in parts])[order] for f in fields(Sectors))
    )
    names = [f.name for f in fields(TileCells)]
    return TileCells(**{name: sectors if name == "sectors" else column(name) for name in names})  # type: ignore[arg-type]
