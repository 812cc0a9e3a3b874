"""The nucleus of each existing cell, from which its membrane is sought as for our own cells.

Outlines of other programs miss the membrane by a micrometre or more: expansions stop short of it or reach the
neighbour's, and drawn nuclei are larger, smaller or smoother than ours. Membranes read along such outlines came out too
strong: a third of the drawn 2+ cells were called 3+. Only the position is therefore taken from an existing cell: the
nucleus detected in its outline is measured, with all detected nuclei around it as neighbours, whether the other program
has found them or not. Where none is detected its own nucleus is measured, and where it has none a stand-in of the usual
size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from qupath_her2.cells.nuclei.detection import Nuclei
from qupath_her2.cells.nuclei.star_contours import FAST_MATH, polygon_areas, radius_at

__all__ = ["NucleiOfExisting", "nuclei_of_existing"]

#: Nuclei tried for an outline, nearest first: the outline of one cell holds one or two.
_TRIED = 8
#: A nucleus fits an outline that holds this fraction of it, ...
_MIN_COVER = 0.6
#: ... or has about the same centre, within this fraction of the nuclear radius: outlines may be drawn too small. Half a
#: nucleus covers 0.5, its centroid 0.42 radii off centre: two halves are two nuclei.
_SAME_CENTRE = 0.3
#: An outline beyond this multiple of the usual nuclear area is that of a cell: nuclei of one tumour rarely differ more.
_CELL_AREA_RATIO = 2.0
#: A stand-in takes up at most this fraction of the cell's area.
_MAX_STAND_IN_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class NucleiOfExisting:
    """M nuclei of a tile, and which of them belongs to each of K existing cells.

    Attributes
    ----------
    nuclei
        Nuclei of the existing cells and of all other detected cells, pixels of the tile.
    is_stand_in
        bool (M), a zone of the usual size in the middle of a cell without any nucleus.
    of_cell
        int64 (K), index of each cell's nucleus; copies of the same cell share one.
    is_detected
        bool (K), whether that nucleus was detected.
    """

    nuclei: Nuclei
    is_stand_in: NDArray[np.bool_]
    of_cell: NDArray[np.int64]
    is_detected: NDArray[np.bool_]


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _holds(radii: NDArray[np.float32], dx: float, dy: float) -> bool:
    """Return whether a star-shaped contour holds a point, given relative to the contour's centre."""
    turn = math.atan2(dy, dx) / (2 * math.pi)
    return bool(math.hypot(dx, dy) < radius_at(radii, turn + 1 if turn < 0 else turn))


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _cover(outline: NDArray[np.float32], nucleus: NDArray[np.float32], dx: float, dy: float) -> float:
    """Return the fraction of a nucleus, centred at (dx, dy) from the outline's centre, that the outline holds."""
    held, total = 0.0, 0.0
    n_angles = len(nucleus)
    for a in range(0, n_angles, 2):
        cosine, sine = math.cos(2 * math.pi * a / n_angles), math.sin(2 * math.pi * a / n_angles)
        # Three samples along the radius; the area they stand for grows with it and with the radius of the sector.
        for f in (0.3, 0.6, 0.9):
            weight = f * nucleus[a] * nucleus[a]
            total += weight
            if _holds(outline, dx + f * nucleus[a] * cosine, dy + f * nucleus[a] * sine):
                held += weight
    return held / max(total, 1e-9)


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _best_nuclei(
    centres: NDArray[np.float64],
    outlines: NDArray[np.float32],
    own_centres: NDArray[np.float64],
    own_radii: NDArray[np.float32],
    tried: NDArray[np.int64],
    min_cover: float,
    same_centre: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the index of the nucleus that fits each outline best, -1 for none, and how well it fits."""
    n = len(centres)
    best, fit = np.full(n, -1, np.int64), np.full(n, -np.inf)
    for k in range(n):
        for j in tried[k]:
            dx, dy = own_centres[j, 0] - centres[k, 0], own_centres[j, 1] - centres[k, 1]
            distance = math.hypot(dx, dy)
            near = distance < same_centre * own_radii[j].mean()
            if not near and not _holds(outlines[k], dx, dy):
                continue
            cover = _cover(outlines[k], own_radii[j], dx, dy)
            if not near and cover < min_cover:
                continue
            # The most central one: a cell outline may also hold part of its neighbour's nucleus.
            here = cover - distance / outlines[k].mean()
            if here > fit[k]:
                best[k], fit[k] = j, here
    return best, fit


def _release_contested(
    best: NDArray[np.int64],
    fit: NDArray[np.float64],
    centres: NDArray[np.float64],
    outlines: NDArray[np.float32],
) -> NDArray[np.int64]:
    """Leave a nucleus that several outlines claim to the best of them and its copies; -1 for the others."""
    order = np.lexsort((-fit, best))
    leads = np.ones(len(best), bool)
    leads[1:] = best[order][1:] != best[order][:-1]
    first = order[np.maximum.accumulate(np.where(leads, np.arange(len(best)), 0))]
    winner = np.empty(len(best), np.int64)
    winner[order] = first
    kept = best.copy()
    for k in np.flatnonzero((winner != np.arange(len(best))) & (best >= 0)):
        w, (dx, dy) = winner[k], centres[k] - centres[winner[k]]
        # The same cell twice (its nucleus and its outline as two detections, or two programs' results) holds each
        # other's centre.
        if not (_holds(outlines[w], dx, dy) and _holds(outlines[k], -dx, -dy)):
            kept[k] = -1
    return kept


def _stand_ins(
    outlines: NDArray[np.float32], may_be_nucleus: NDArray[np.bool_], usual_area: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the radii measured for outlines without a detected nucleus, and which of them are stand-ins."""
    area = np.maximum(polygon_areas(outlines), 1e-6)
    is_cell = ~may_be_nucleus | (area > _CELL_AREA_RATIO * usual_area)
    wanted = np.where(is_cell, np.minimum(usual_area, _MAX_STAND_IN_SHARE * area), area)
    # At least a pixel: degenerate outlines (a line, a point) are measured as well.
    radii = np.maximum(outlines * np.sqrt(wanted / area)[:, None], 1)
    return radii.astype(np.float32), is_cell


def _copies(centres: NDArray[np.float64], radii: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the index of the first nucleus at about the same place, the own index where there is none before it."""
    first = np.arange(len(centres))
    if len(centres) > 1:
        mean = radii.mean(1)
        reach = _SAME_CENTRE * float(mean.max())
        pairs = cKDTree(centres).query_pairs(reach, output_type="ndarray")
        distance = np.hypot(*(centres[pairs[:, 0]] - centres[pairs[:, 1]]).T)
        same = pairs[distance < _SAME_CENTRE * mean[pairs].min(1)]
        np.minimum.at(first, same.max(1, initial=0), same.min(1, initial=len(first)))
    return first


def nuclei_of_existing(
    centres: NDArray[np.float64],
    outlines: NDArray[np.float32],
    may_be_nucleus: NDArray[np.bool_],
    own: Nuclei,
    usual_area: float,
) -> NucleiOfExisting:
    """Find the nucleus of each existing cell of a tile.

    Parameters
    ----------
    centres
        float64 (K, 2), of the existing cells, pixels of the tile.
    outlines
        float32 (K, A), pixels: of its nucleus where a cell has one, else of the cell or detection.
    may_be_nucleus
        bool (K), False for the outline of a cell; a plain detection may be either.
    own
        Nuclei detected in the tile.
    usual_area
        Median area of detected nuclei of the image, square pixels of the tile.

    Returns
    -------
    NucleiOfExisting
        Detected nuclei come first, in their order.
    """
    best = np.full(len(centres), -1, np.int64)
    if len(own) and len(centres):
        _, tried = cKDTree(own.centre).query(centres, k=np.arange(1, min(_TRIED, len(own)) + 1))
        best, fit = _best_nuclei(
            centres, outlines, own.centre, own.radii, tried.astype(np.int64), _MIN_COVER, _SAME_CENTRE
        )
        best = _release_contested(best, fit, centres, outlines)
    alone = np.flatnonzero(best < 0)
    radii, is_stand_in = _stand_ins(outlines[alone], may_be_nucleus[alone], usual_area)
    # Sixteenths of a pixel, as for detected nuclei: every tile gets the same centre.
    places = np.round(centres[alone] * 16) / 16
    first = _copies(places, radii)
    kept = np.flatnonzero(first == np.arange(len(first)))
    number = np.cumsum(first == np.arange(len(first))) - 1
    # A detected nucleus that lies on one that is measured as outlined is no neighbour of it.
    free = _free(own, np.unique(best[best >= 0]), places[kept], radii[kept])
    position = np.cumsum(free) - 1
    of_cell = np.where(best >= 0, position[best], 0) if len(own) else np.zeros(len(centres), np.int64)
    of_cell[alone] = int(free.sum()) + number[first]
    return NucleiOfExisting(
        Nuclei(
            np.concatenate([own.centre[free], places[kept]]), np.concatenate([own.radii[free], radii[kept]])
        ),
        np.concatenate([np.zeros(int(free.sum()), bool), is_stand_in[kept]]),
        of_cell.astype(np.int64),
        np.asarray(best >= 0),
    )


def _free(
    own: Nuclei, used: NDArray[np.int64], places: NDArray[np.float64], radii: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Return which detected nuclei are used, or share no place with the nuclei at `places`."""
    free = np.ones(len(own), bool)
    if len(own) == 0 or len(places) == 0:
        return free
    reach = float(max(own.radii.max(), radii.max()))
    near = cKDTree(own.centre).query_ball_point(places, reach)
    for k, rivals in enumerate(near):
        for j in rivals:
            dx, dy = own.centre[j] - places[k]
            if _holds(radii[k], dx, dy) or _holds(own.radii[j], -dx, -dy):
                free[j] = False
    free[used] = True
    return free
