"""Cell outlines: from each nucleus outwards to its membrane, or half-way to the neighbouring nucleus.

An outline is the closed path of largest gain around a nucleus (`closed_path.closed_paths`). The gain of a radius is
the DAB ridge there, minus a price for ridges crossed on the way (the first membrane is the cell's own), minus a price
for leaving the expected position: half-way to the neighbouring nucleus, or a fixed distance from the own one. A faint
membrane therefore shifts the outline a little, and a strong one fixes it. Circles of fixed radius overrun the
membranes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.membrane.territory import UNOWNED, nearest_nucleus_map
from qupath_her2.cells.nuclei.closed_path import MAX_STEP, TOGETHER, closed_paths, work_space
from qupath_her2.cells.nuclei.rays import place_samples, ray_offsets, read_samples
from qupath_her2.cells.nuclei.star_contours import FAST_MATH, radius_at
from qupath_her2.cells.stain_planes import Plane, Planes
from qupath_her2.setting_ranges import Density, Range, check_order, check_settings

__all__ = [
    "N_SECTORS",
    "NO_NEIGHBOUR",
    "Outlines",
    "OutlineSettings",
    "outline_cells",
    "outline_in_territories",
]

#: Number of directions (sectors) of a cell outline, 10 degrees each.
N_SECTORS = 36

#: No neighbouring nucleus in this direction.
NO_NEIGHBOUR = -1

#: Added to the owner of a pixel that lies inside a nucleus.
_NUCLEUS = np.int32(1 << 30)

#: Beyond every radius, px.
_NEVER = 1e9


@dataclass(frozen=True, slots=True)
class OutlineSettings:
    """Reach and prices of a cell outline; gains and prices are in units of optical density.

    Attributes
    ----------
    radius_step_um, max_radius_um
        Radii tried, from the centre of the nucleus.
    expansion_um
        Expected distance of an isolated unstained cell's outline from the nuclear contour.
    reach_um
        Largest distance from the nuclear contour.
    crossing_weight
        Price of a crossed ridge, per OD and pixel.
    place_price_od_um
        Price of each µm away from the expected position.
    step_price_od
        Price of changing the radius by one step between neighbouring sectors.
    ridge_noise_od
        A ridge below this is noise and costs nothing to cross.
    """

    # Finer steps than a fifth of a working pixel measure nothing new; the largest tumour cells are 50 µm wide.
    radius_step_um: Annotated[float, Range(0.1, 2, "µm")] = 0.375
    max_radius_um: Annotated[float, Range(2, 50, "µm")] = 13.0
    expansion_um: Annotated[float, Range(0, 20, "µm")] = 4.5
    reach_um: Annotated[float, Range(0.5, 30, "µm")] = 8.0
    crossing_weight: Annotated[float, Range(0, 10)] = 0.6
    place_price_od_um: Annotated[float, Range(0, 4, "OD/µm")] = 0.012
    step_price_od: Density = 0.006
    ridge_noise_od: Density = 0.02

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "expansion_um", "reach_um", "max_radius_um", is_strict=False)


@dataclass(frozen=True, slots=True)
class Outlines:
    """Outlines of N cells.

    Attributes
    ----------
    radii
        float32 (N, 36), pixels, angles counted from +x towards +y.
    neighbour
        int32 (N, 36), index of the cell beyond each sector, `NO_NEIGHBOUR` for none.
    """

    radii: NDArray[np.float32]
    neighbour: NDArray[np.int32]


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _place_on_map(
    shape: tuple[int, int],
    per: int,
    centre: tuple[float, float],
    radii: NDArray[np.float64],
    directions: tuple[NDArray[np.float64], NDArray[np.float64]],
    index: NDArray[np.int32],
) -> None:
    """Find the pixels of a map of territories that hold the samples around a point, ray by ray.

    The map has one pixel per `per` pixels.
    """
    height, width = shape
    x, y, share = (centre[0] + 0.5) / per, (centre[1] + 0.5) / per, 1 / per
    for a in range(len(directions[0])):
        along_x, along_y = directions[0][a] * share, directions[1][a] * share
        here = index[a * len(radii) : (a + 1) * len(radii)]
        for k in range(len(radii)):
            column = min(max(x + radii[k] * along_x, 0.0), width - 1.0)
            row = min(max(y + radii[k] * along_y, 0.0), height - 1.0)
            here[k] = np.int32(row) * np.int32(width) + np.int32(column)


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _neighbour_on_ray(
    territory: NDArray[np.int32],
    index: NDArray[np.int32],
    own: int,
    step: float,
    nearest: float,
    farthest: float,
) -> tuple[int, float, float]:
    """Return the first neighbour met between two radii, and the radii at which its territory and any nucleus begin.

    `NO_NEIGHBOUR` and `_NEVER` where there is none. `territory` is the flattened map of owners, with `_NUCLEUS` added
    inside of nuclei, and `index` the pixels of the ray in it, from `_place_on_map`.
    """
    neighbour, border = NO_NEIGHBOUR, _NEVER
    for r in range(int(nearest / step), min(int(farthest / step) + 1, len(index))):
        met = territory[np.uint64(index[r])]
        owner = met & ~_NUCLEUS if met >= 0 else met
        if owner == own or met == NO_NEIGHBOUR:
            continue
        radius = (r + 1) * step
        # Inside the own nucleus pixels of the coarse map may belong to a neighbour by rounding alone.
        if radius <= nearest or radius > farthest:
            continue
        if neighbour == NO_NEIGHBOUR:
            neighbour, border = owner, radius
        if met >= _NUCLEUS:
            return neighbour, border, radius
    return neighbour, border, _NEVER


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _fill_gain(
    ridge: NDArray[np.float32],
    radii: NDArray[np.float32],
    lag: int,
    prices: NDArray[np.float32],
    walls: NDArray[np.float32],
    crossed: NDArray[np.float32],
    gain: NDArray[np.float32],
) -> None:
    """Fill the gain of one sector, (R * TOGETHER): the ridges along its rays less all prices.

    The cells lie side by side: one loop over radii and cells is vectorised. `walls` are the expected radius of each
    cell, the nearest and the farthest, (3, R * TOGETHER), of which the first of each is given. `crossed` is work space
    that begins with `lag` radii of 0: a crossed ridge counts `lag` steps later, since a membrane has a width, and its
    own near side must not count against it.
    """
    crossing, place_price, noise, width = prices[2], prices[3], prices[4], radii[0]
    expected, nearest, farthest = walls[0], walls[1], walls[2]
    for wall in (expected, nearest, farthest):
        for k in range(len(gain) - TOGETHER):
            wall[k + TOGETHER] = wall[k]
    summed = crossed[(lag - 1) * TOGETHER :]
    for k in range(len(gain)):
        counts = np.float32(1) if radii[k] >= nearest[k] - 1 else np.float32(0)
        summed[k + TOGETHER] = summed[k] + counts * max(ridge[k] - noise, np.float32(0)) * width
    for k in range(len(gain)):
        # Soft walls: an outline through the own nucleus or a neighbour's is costly, but must stay possible, since every
        # sector needs some radius (nuclei may touch).
        beyond = max(nearest[k] - radii[k], np.float32(0)) + max(radii[k] - farthest[k], np.float32(0))
        price = place_price * abs(radii[k] - expected[k]) + crossing * crossed[k]
        gain[k] = ridge[k] - price - np.float32(0.15) * beyond


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _outlines(
    ridge: Plane,
    territory: NDArray[np.int32],
    centres: NDArray[np.float64],
    nuclei: NDArray[np.float32],
    step: float,
    n_radii: int,
    lag: int,
    prices: NDArray[np.float32],
    step_price: float,
    max_step: int,
    per: int,
    n_sectors: int,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Trace all outlines; radii in pixels and the neighbours met. `territory` is that of `_neighbour_on_ray`."""
    n, size, samples = len(nuclei), n_radii * TOGETHER, n_sectors * n_radii
    radii, neighbour = np.empty((n, n_sectors), np.float32), np.empty((n, n_sectors), np.int32)
    far = np.arange(1.0, n_radii + 1.0) * step
    distances, angle = far.astype(np.float32), 2 * math.pi * np.arange(n_sectors) / n_sectors
    directions = np.cos(angle), np.sin(angle)
    offsets = ray_offsets(distances, n_sectors)
    # Work space of the cells side by side; lanes without a cell of their own are searched, too.
    index, u, v = np.empty(samples, np.int32), np.empty(samples, np.float32), np.empty(samples, np.float32)
    profile, gain = np.zeros((n_sectors, size), np.float32), np.empty((n_sectors, size), np.float32)
    walls, crossed = np.zeros((n_sectors, 3, size), np.float32), np.zeros(size + lag * TOGETHER, np.float32)
    best, paths = work_space(n_sectors, n_radii), np.empty((TOGETHER, n_sectors), np.int64)
    repeated = np.repeat(distances, TOGETHER)
    expansion, reach, flat = prices[0], prices[1], territory.reshape(-1)
    for first in range(0, n, TOGETHER):
        together = min(TOGETHER, n - first)
        for lane in range(together):
            k, centre = first + lane, (centres[first + lane, 0], centres[first + lane, 1])
            _place_on_map(territory.shape, per, centre, far, directions, index)
            for a in range(n_sectors):
                nucleus = radius_at(nuclei[k], a / n_sectors)
                # A nucleus beyond the reach of this cell does not share its membrane.
                farthest = min(nucleus + reach, n_radii * step)
                neighbour[k, a], border, blocked = _neighbour_on_ray(
                    flat, index[a * n_radii : (a + 1) * n_radii], k, step, nucleus + 0.5, farthest
                )
                walls[a, 0, lane] = min(border, nucleus + expansion)
                walls[a, 1, lane], walls[a, 2, lane] = nucleus + 0.5, min(blocked, nucleus + reach)
            place_samples(ridge.shape, centre, offsets, index, u, v)
            read_samples(ridge.reshape(-1), ridge.shape[1], index, u, v, profile.reshape(-1)[lane::TOGETHER])
        for a in range(n_sectors):
            _fill_gain(profile[a], repeated, lag, prices, walls[a], crossed, gain[a])
        # Two steps of 0.375 µm per 10 degrees: at a radius of 6 µm an outline may run 35 degrees oblique to the circle,
        # enough for the corners of polygonal cells.
        closed_paths(gain, step_price, max_step, best, paths)
        for lane in range(together):
            for a in range(n_sectors):
                radii[first + lane, a] = (paths[lane, a] + 1) * step
    return radii, neighbour


def outline_cells(
    planes: Planes,
    centres: NDArray[np.float64],
    nuclei: NDArray[np.float32],
    settings: OutlineSettings | None = None,
) -> Outlines:
    """Outline the cell of every nucleus along the DAB ridges of a tile.

    Parameters
    ----------
    planes
        Stain planes of the tile.
    centres, nuclei
        float64 (N, 2) and float32 (N, A), nuclear contours, pixels of the tile.
    settings
        Reach and prices.

    Returns
    -------
    Outlines
        Of the N cells, pixels of the tile.
    """
    s = settings or OutlineSettings()
    territory = nearest_nucleus_map(planes.ridge.shape, centres, nuclei, s.reach_um / planes.um_px)
    return _trace_outlines(planes.ridge, planes.um_px, centres, nuclei, territory, s)


def outline_in_territories(
    ridge: Plane,
    um_px: float,
    centres: NDArray[np.float64],
    nuclei: NDArray[np.float32],
    territory: NDArray[np.int32],
    is_nucleus: NDArray[np.bool_],
    settings: OutlineSettings | None = None,
) -> Outlines:
    """Outline the cell of every nucleus within territories that are already known.

    Parameters
    ----------
    ridge
        float32 (H, W), membrane strength, OD.
    um_px
        Size of its pixels, µm.
    centres, nuclei
        float64 (N, 2) and float32 (N, A), nuclear contours, pixels.
    territory
        int32 (H, W), index of the nucleus that owns each pixel, -1 for none.
    is_nucleus
        bool (H, W), inside any nucleus.
    settings
        Reach and prices.

    Returns
    -------
    Outlines
        Of the N cells, pixels of `ridge`.
    """
    s = settings or OutlineSettings()
    # Only the sign of the distance is used: inside a nucleus, or not.
    distance = np.where(is_nucleus, np.float32(-1), np.float32(1))
    return _trace_outlines(ridge, um_px, centres, nuclei, (territory, distance), s)


def _trace_outlines(
    ridge: Plane,
    um_px: float,
    centres: NDArray[np.float64],
    nuclei: NDArray[np.float32],
    territory: tuple[NDArray[np.int32], Plane],
    s: OutlineSettings,
) -> Outlines:
    """Trace outlines in a map of territories at the full resolution or at half of it."""
    if len(centres) == 0:
        empty = np.zeros((0, N_SECTORS))
        return Outlines(empty.astype(np.float32), empty.astype(np.int32))
    prices = np.array(
        [
            s.expansion_um / um_px,
            s.reach_um / um_px,
            s.crossing_weight,
            s.place_price_od_um * um_px,
            s.ridge_noise_od,
        ],
        np.float32,
    )
    owner, distance = territory
    radii, neighbour = _outlines(
        ridge,
        # One look-up tells both.
        np.where((distance <= 0) & (owner != UNOWNED), owner | _NUCLEUS, owner),
        centres,
        nuclei,
        s.radius_step_um / um_px,
        round(s.max_radius_um / s.radius_step_um),
        round(0.75 / s.radius_step_um),
        prices,
        s.step_price_od,
        # Passed on, since numba compiles apart for each number it knows.
        MAX_STEP,
        1 if owner.shape == ridge.shape else 2,
        N_SECTORS,
    )
    return Outlines(radii, neighbour)
