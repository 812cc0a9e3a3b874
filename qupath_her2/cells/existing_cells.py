"""Existing cells (of QuPath, StarDist, InstanSeg, Cellpose or a person), converted to be measured as they are."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.grid import Grid, TileBox
from qupath_her2.cells.membrane.outlines import N_SECTORS, Outlines, OutlineSettings, outline_cells
from qupath_her2.cells.nuclei.contours import N_ANGLES
from qupath_her2.cells.nuclei.detection import Nuclei
from qupath_her2.cells.stain_planes import Planes
from qupath_her2.project.geojson.existing_cells import ExistingCells

__all__ = ["centres_of_existing", "existing_in_tile", "polar_radii", "select_rings"]

#: Radius of the stand-in nucleus of a cell without one, as a fraction of the cell radius; only used to find neighbours.
_STAND_IN_SHARE = 0.4


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
def _centroids(xy: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the centroids of N open rings, (N, 2), by the shoelace formula; NaN for an empty ring."""
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
    nuclei = _centroids(existing.nucleus_xy.astype(np.float64), existing.nucleus_offsets)
    cells = _centroids(existing.cell_xy.astype(np.float64), existing.cell_offsets)
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


def existing_in_tile(
    existing: ExistingCells,
    centres_xy: NDArray[np.float64],
    planes: Planes,
    grid: Grid,
    box: TileBox,
    settings: OutlineSettings,
) -> tuple[Nuclei, Outlines, NDArray[np.int64]]:
    """Convert the existing cells of a tile to nuclei and outlines in its frame.

    A plain detection is taken for a nucleus, around which a cell is outlined; a cell keeps its own outline.

    Parameters
    ----------
    existing
        Cells of the whole image.
    centres_xy
        float64 (N, 2), level-0 pixels, see `centres_of_existing`.
    planes
        Stain planes of the tile.
    grid, box
        Working grid, and the tile's position on it.
    settings
        Outlines of plain detections.

    Returns
    -------
    tuple[Nuclei, Outlines, NDArray[np.int64]]
        M nuclei (radii of 0 where a cell has none) and outlines, pixels of the tile, and int64 (M), their indices in
        `existing`.
    """
    centres = centres_xy / grid.downsample - 0.5 - np.array([box.read.x, box.read.y])
    reach = np.array([box.read.width - 1, box.read.height - 1])
    chosen = np.flatnonzero(((centres >= 0) & (centres <= reach)).all(1))
    centres = centres[chosen]

    def _radii(xy: NDArray[np.float32], offsets: NDArray[np.int64], n_angles: int) -> NDArray[np.float32]:
        """Return the rings of the chosen cells as `n_angles` radii around their centres, pixels of the tile."""
        ring, starts = select_rings(xy, offsets, chosen)
        local = ring / grid.downsample - 0.5 - np.array([box.read.x, box.read.y])
        return polar_radii(local, starts, centres, n_angles)

    is_cell = existing.is_cell[chosen]
    own_nucleus = _radii(existing.nucleus_xy, existing.nucleus_offsets, N_ANGLES)
    own_outline = _radii(existing.cell_xy, existing.cell_offsets, N_ANGLES)
    nucleus = np.where(is_cell[:, None], own_nucleus, own_outline)
    has_nucleus = np.asarray((nucleus > 0).any(1))
    # All cells are outlined, also those that keep their own outline: the neighbour beyond each sector comes with it.
    stand_in = np.where(has_nucleus[:, None], nucleus, own_outline * _STAND_IN_SHARE)
    outlines = outline_cells(planes, centres, np.maximum(stand_in, 1).astype(np.float32), settings)
    existing_radii = _radii(existing.cell_xy, existing.cell_offsets, N_SECTORS)
    kept = np.where(is_cell[:, None], np.maximum(existing_radii, 1), outlines.radii).astype(np.float32)
    return (
        Nuclei(centres, nucleus.astype(np.float32)),
        Outlines(kept, outlines.neighbour),
        chosen.astype(np.int64),
    )
