"""Existing cells (of QuPath, StarDist, InstanSeg, Cellpose or a person), placed in an image to be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.existing_nuclei import NucleiOfExisting, nuclei_of_existing
from qupath_her2.cells.grid import Grid, TileBox
from qupath_her2.cells.nuclei.contours import N_ANGLES
from qupath_her2.cells.nuclei.detection import CellDetector, Nuclei, Tile
from qupath_her2.cells.nuclei.star_contours import polygon_areas
from qupath_her2.project.geojson.existing_cells import ExistingCells

__all__ = [
    "PlacedCells",
    "centres_of_existing",
    "existing_in_tile",
    "place_existing",
    "polar_radii",
    "ring_centroid",
    "ring_centroids",
    "select_rings",
]

#: Area of a nucleus where none is detected in the samples of an image, µm²: a radius of 4 µm.
_USUAL_AREA_UM2 = 50.0


@dataclass(frozen=True, slots=True)
class PlacedCells:
    """Existing cells of an image, ready to be measured.

    Attributes
    ----------
    cells
        N cells, level-0 pixels.
    centres_xy
        float64 (N, 2), level-0 pixels, see `centres_of_existing`.
    centroids_xy
        float64 (N, 2), centroids of the cells' outlines, level-0 pixels: QuPath counts a cell where its centroid lies.
    usual_nucleus_um2
        Median area of the nuclei detected in the image's samples, µm²; tells nuclei from cells among plain detections.
    """

    cells: ExistingCells
    centres_xy: NDArray[np.float64]
    centroids_xy: NDArray[np.float64]
    usual_nucleus_um2: float


@nb.njit(cache=True, nogil=True)
def _polar_radii(
    xy: NDArray[np.float64], offsets: NDArray[np.int64], centres: NDArray[np.float64], n_angles: int
) -> NDArray[np.float32]:
    """Intersect rays from each centre with all edges of its ring and keep the farthest crossing."""
    n = len(centres)
    radii = np.zeros((n, n_angles), np.float32)
    for k in range(n):
        first, last = offsets[k], offsets[k + 1]
        for a in range(n_angles):
            cosine, sine = np.cos(2 * np.pi * a / n_angles), np.sin(2 * np.pi * a / n_angles)
            for v in range(first, last):
                w = v + 1 if v + 1 < last else first
                px, py = xy[v, 0] - centres[k, 0], xy[v, 1] - centres[k, 1]
                dx, dy = xy[w, 0] - xy[v, 0], xy[w, 1] - xy[v, 1]
                # The ray's equation solved for the distance along the ray and the position on the edge, by Cramer's
                # rule; edges parallel to the ray are skipped, since their neighbours contain the same vertices.
                cross = cosine * dy - sine * dx
                if abs(cross) < 1e-12:
                    continue
                along = (px * dy - py * dx) / cross
                share = (px * sine - py * cosine) / cross
                # With a tolerance, so that a ray through a vertex meets one of its two edges in spite of rounding.
                if -1e-9 <= share <= 1 + 1e-9 and along > radii[k, a]:
                    radii[k, a] = along
    return radii


def polar_radii(
    xy: NDArray[np.float64], offsets: NDArray[np.int64], centres: NDArray[np.float64], n_angles: int
) -> NDArray[np.float32]:
    """Return the distance from each centre to the farthest crossing of its ring, in `n_angles` directions.

    Taking the farthest crossing makes any outline star-shaped; for a ring that is not, this encloses its concavities.

    Parameters
    ----------
    xy, offsets
        float64 (P, 2) and int64 (N + 1): the vertices of N open rings.
    centres
        float64 (N, 2), x, y, in the frame of `xy`.
    n_angles
        Number of directions, counted from +x towards +y.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, n_angles); 0 where a ring is empty or never crosses a direction.
    """
    found: NDArray[np.float32] = _polar_radii(xy, offsets, centres, n_angles)
    return found


@nb.njit(cache=True, nogil=True)
def ring_centroids(xy: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the centroids of N open rings, by the shoelace formula.

    Parameters
    ----------
    xy, offsets
        float64 (P, 2) and int64 (N + 1): the vertices of N open rings.

    Returns
    -------
    NDArray[np.float64]
        float64 (N, 2), in the frame of `xy`; the mean of the vertices of a ring without area, NaN for an empty one.
    """
    centroids = np.full((len(offsets) - 1, 2), np.nan)
    for k in range(len(centroids)):
        first, last = offsets[k], offsets[k + 1]
        if first == last:
            continue
        area, moment_x, moment_y, x, y = 0.0, 0.0, 0.0, 0.0, 0.0
        for v in range(first, last):
            w = v + 1 if v + 1 < last else first
            # Relative to the first vertex: with slide coordinates of 100,000 pixels the products would lose digits.
            ax, ay = xy[v, 0] - xy[first, 0], xy[v, 1] - xy[first, 1]
            bx, by = xy[w, 0] - xy[first, 0], xy[w, 1] - xy[first, 1]
            cross = ax * by - bx * ay
            area += cross
            moment_x += (ax + bx) * cross
            moment_y += (ay + by) * cross
            x += ax / (last - first)
            y += ay / (last - first)
        # Degenerate rings (a line, a point) have no area; the mean of the vertices stands in.
        if abs(area) > 1e-6:
            x, y = moment_x / (3 * area), moment_y / (3 * area)
        centroids[k, 0], centroids[k, 1] = xy[first, 0] + x, xy[first, 1] + y
    return centroids


def ring_centroid(ring: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the centroid of one open ring (K, 2), float64 (2,), as `ring_centroids` those of many."""
    centroid: NDArray[np.float64] = ring_centroids(
        ring.astype(np.float64), np.array([0, len(ring)], np.int64)
    )[0]
    return centroid


def centres_of_existing(existing: ExistingCells) -> NDArray[np.float64]:
    """Return the centroid of each nucleus, or of the cell where there is no nucleus.

    Parameters
    ----------
    existing
        N cells, level-0 pixels.

    Returns
    -------
    NDArray[np.float64]
        float64 (N, 2), level-0 pixels; the mean of the vertices where an outline has no area.
    """
    nuclei = ring_centroids(existing.nucleus_xy.astype(np.float64), existing.nucleus_offsets)
    cells = ring_centroids(existing.cell_xy.astype(np.float64), existing.cell_offsets)
    centres: NDArray[np.float64] = np.where(np.isnan(nuclei), cells, nuclei)
    return centres


def select_rings(
    xy: NDArray[np.float32], offsets: NDArray[np.int64], chosen: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Select K of N ragged rings.

    Parameters
    ----------
    xy, offsets
        float32 (P, 2) and int64 (N + 1): vertices and offsets of the rings.
    chosen
        intp (K), indices of rings in the order wanted.

    Returns
    -------
    tuple[NDArray[np.float32], NDArray[np.int64]]
        float32 (Q, 2) and int64 (K + 1): vertices and offsets of the chosen rings.
    """
    lengths = np.diff(offsets)[chosen]
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    # One gather for all rings: a loop over a million cells in Python would take seconds.
    index = np.repeat(offsets[:-1][chosen] - starts[:-1], lengths) + np.arange(starts[-1])
    return xy[index], starts


def place_existing(existing: ExistingCells, detector: CellDetector, samples: Sequence[Tile]) -> PlacedCells:
    """Locate existing cells, and measure the usual size of a nucleus in their image.

    Parameters
    ----------
    existing
        N cells, level-0 pixels.
    detector
        Adapted to the image.
    samples
        Tiles spread over the scored regions.

    Returns
    -------
    PlacedCells
        The cells with their centres.
    """
    areas = [polygon_areas(detector.detect(tile).radii) * tile.planes.um_px**2 for tile in samples]
    found = np.concatenate(areas) if areas else np.zeros(0)
    usual = float(np.median(found)) if len(found) else _USUAL_AREA_UM2
    centroids = ring_centroids(existing.cell_xy.astype(np.float64), existing.cell_offsets)
    return PlacedCells(existing, centres_of_existing(existing), centroids, usual)


def existing_in_tile(
    placed: PlacedCells, own: Nuclei, grid: Grid, box: TileBox
) -> tuple[NucleiOfExisting, NDArray[np.float64], NDArray[np.int64]]:
    """Find the nuclei of the existing cells of a tile, see `nuclei_of_existing`.

    Parameters
    ----------
    placed
        Existing cells of the whole image.
    own
        Nuclei detected in the tile.
    grid, box
        Working grid, and the tile's position on it.

    Returns
    -------
    tuple[NucleiOfExisting, NDArray[np.float64], NDArray[np.int64]]
        The nuclei of the K cells centred in the tile, float64 (K, 2), the cells' centres, pixels of the tile, and
        int64 (K), their indices in `placed.cells`.
    """
    existing = placed.cells
    corner = np.array([box.read.x, box.read.y])
    centres = placed.centres_xy / grid.downsample - 0.5 - corner
    reach = np.array([box.read.width - 1, box.read.height - 1])
    chosen = np.flatnonzero(((centres >= 0) & (centres <= reach)).all(1))
    centres = centres[chosen]

    def _radii(xy: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the rings of the chosen cells as radii around their centres, pixels of the tile."""
        ring, starts = select_rings(xy, offsets, chosen)
        return polar_radii(ring / grid.downsample - 0.5 - corner, starts, centres, N_ANGLES)

    nucleus = _radii(existing.nucleus_xy, existing.nucleus_offsets)
    has_nucleus = np.asarray((nucleus > 0).any(1))
    outline = np.where(has_nucleus[:, None], nucleus, _radii(existing.cell_xy, existing.cell_offsets))
    may_be_nucleus = np.asarray(has_nucleus | ~existing.is_cell[chosen])
    found = nuclei_of_existing(
        centres,
        outline.astype(np.float32),
        may_be_nucleus,
        own,
        placed.usual_nucleus_um2 / grid.um_px**2,
    )
    return found, centres, chosen.astype(np.int64)
