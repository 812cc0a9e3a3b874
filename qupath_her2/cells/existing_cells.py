"""Cells that exist already (QuPath, StarDist, InstanSeg, Cellpose, a person): measured as they are."""

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

#: A cell without nucleus is given one of this share of its radius, only to find its neighbours by.
_STAND_IN_SHARE = 0.4


@nb.njit(cache=True, nogil=True)
def _polar_radii(
    xy: NDArray[np.float64], offsets: NDArray[np.int64], centres: NDArray[np.float64], n_angles: int
) -> NDArray[np.float32]:
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
                cross = cosine * dy - sine * dx
                if abs(cross) < 1e-12:
                    continue
                along = (px * dy - py * dx) / cross
                share = (px * sine - py * cosine) / cross
                # A ray through a vertex must meet one of its two edges, whatever the rounding.
                if -1e-9 <= share <= 1 + 1e-9 and along > radii[k, a]:
                    radii[k, a] = along
    return radii


def polar_radii(
    xy: NDArray[np.float64], offsets: NDArray[np.int64], centres: NDArray[np.float64], n_angles: int
) -> NDArray[np.float32]:
    """Return the distance from each centre to the farthest crossing of its ring, in `n_angles` directions.

    Parameters
    ----------
    xy, offsets
        float64 (P, 2), int64 (N + 1): N open rings.
    centres
        float64 (N, 2), in the same frame.
    n_angles
        Directions, counted from +x towards +y.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, n_angles); 0 where a ring is empty or never crosses a direction.
    """
    found: NDArray[np.float32] = _polar_radii(xy, offsets, centres, n_angles)
    return found


@nb.njit(cache=True, nogil=True)
def _centroids(xy: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    centroids = np.full((len(offsets) - 1, 2), np.nan)
    for k in range(len(centroids)):
        first, last = offsets[k], offsets[k + 1]
        if first == last:
            continue
        area, moment_x, moment_y, x, y = 0.0, 0.0, 0.0, 0.0, 0.0
        for v in range(first, last):
            w = v + 1 if v + 1 < last else first
            # Counted from the first vertex, so that far coordinates do not cancel.
            ax, ay = xy[v, 0] - xy[first, 0], xy[v, 1] - xy[first, 1]
            bx, by = xy[w, 0] - xy[first, 0], xy[w, 1] - xy[first, 1]
            cross = ax * by - bx * ay
            area += cross
            moment_x += (ax + bx) * cross
            moment_y += (ay + by) * cross
            x += ax / (last - first)
            y += ay / (last - first)
        if abs(area) > 1e-6:
            x, y = moment_x / (3 * area), moment_y / (3 * area)
        centroids[k, 0], centroids[k, 1] = xy[first, 0] + x, xy[first, 1] + y
    return centroids


def centres_of_existing(existing: ExistingCells) -> NDArray[np.float64]:
    """Return the centroids of the nuclei, or of the cells where there is no nucleus.

    Parameters
    ----------
    existing
        N cells.

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
    """Return the chosen of N ragged rings.

    Parameters
    ----------
    xy, offsets
        float32 (P, 2), int64 (N + 1).
    chosen
        Places (K) of rings, in the order wanted.

    Returns
    -------
    tuple[NDArray[np.float32], NDArray[np.int64]]
        float32 (Q, 2) and int64 (K + 1): their vertices and offsets.
    """
    lengths = np.diff(offsets)[chosen]
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
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
    """Bring the existing cells that lie in a tile into its frame.

    A plain detection is taken for a nucleus, and its cell is outlined; a cell keeps its own outline.

    Parameters
    ----------
    existing
        Of the whole image.
    centres_xy
        float64 (N, 2), their `centres_of_existing`, level-0 pixels.
    planes
        Of the tile.
    grid, box
        Where the tile lies.
    settings
        Of outlines for plain detections.

    Returns
    -------
    tuple[Nuclei, Outlines, NDArray[np.int64]]
        Their nuclei (all-zero radii where there is none) and outlines, pixels of the tile, and int64 places in
        `existing`.
    """
    centres = centres_xy / grid.downsample - 0.5 - np.array([box.read.x, box.read.y])
    reach = np.array([box.read.width - 1, box.read.height - 1])
    chosen = np.flatnonzero(((centres >= 0) & (centres <= reach)).all(1))
    centres = centres[chosen]

    def radii(xy: NDArray[np.float32], offsets: NDArray[np.int64], n_angles: int) -> NDArray[np.float32]:
        ring, starts = select_rings(xy, offsets, chosen)
        local = ring / grid.downsample - 0.5 - np.array([box.read.x, box.read.y])
        return polar_radii(local, starts, centres, n_angles)

    is_cell = existing.is_cell[chosen]
    own_nucleus = radii(existing.nucleus_xy, existing.nucleus_offsets, N_ANGLES)
    own_outline = radii(existing.cell_xy, existing.cell_offsets, N_ANGLES)
    nucleus = np.where(is_cell[:, None], own_nucleus, own_outline)
    has_nucleus = np.asarray((nucleus > 0).any(1))
    stand_in = np.where(has_nucleus[:, None], nucleus, own_outline * _STAND_IN_SHARE)
    outlines = outline_cells(planes, centres, np.maximum(stand_in, 1).astype(np.float32), settings)
    given_radii = radii(existing.cell_xy, existing.cell_offsets, N_SECTORS)
    kept = np.where(is_cell[:, None], np.maximum(given_radii, 1), outlines.radii).astype(np.float32)
    return (
        Nuclei(centres, nucleus.astype(np.float32)),
        Outlines(kept, outlines.neighbour),
        chosen.astype(np.int64),
    )
