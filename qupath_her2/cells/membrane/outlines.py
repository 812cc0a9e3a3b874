"""Cell outlines: from each nucleus outwards to its membrane, or half-way to the neighbouring nucleus.

An outline is the closed path of largest gain around a nucleus (`closed_path.closed_path`). The gain of a radius is
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

from qupath_her2.cells.membrane.territory import nearest_nucleus_map
from qupath_her2.cells.nuclei.closed_path import MAX_STEP, closed_path
from qupath_her2.cells.nuclei.rays import place_rays, read_rays, start_rays
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
def _neighbour_on_ray(
    territory: NDArray[np.int32],
    distance: Plane,
    own: int,
    start: tuple[float, float],
    along: tuple[float, float],
    step: float,
    nearest: float,
    farthest: float,
    per: int,
) -> tuple[int, float, float]:
    """Return the first neighbour met between two radii, and the radii at which its territory and any nucleus begin.

    `NO_NEIGHBOUR` and `_NEVER` where there is none. `territory` and `distance` have one pixel per `per` pixels.
    """
    height, width = territory.shape
    neighbour, border = NO_NEIGHBOUR, _NEVER
    for r in range(int(nearest / step), int(farthest / step) + 1):
        radius = (r + 1) * step
        # Inside the own nucleus pixels of the coarse map may belong to a neighbour by rounding alone.
        if radius <= nearest or radius > farthest:
            continue
        column = min(max(int((start[0] + radius * along[0] + 0.5) / per), 0), width - 1)
        row = min(max(int((start[1] + radius * along[1] + 0.5) / per), 0), height - 1)
        met = territory[row, column]
        if met != own and met != NO_NEIGHBOUR:
            if neighbour == NO_NEIGHBOUR:
                neighbour, border = met, radius
            if distance[row, column] <= 0:
                return neighbour, border, radius
    return neighbour, border, _NEVER


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _fill_gain(
    ridge: NDArray[np.float32],
    crossed: NDArray[np.float32],
    walls: NDArray[np.float32],
    step: float,
    lag: int,
    prices: NDArray[np.float32],
    gain: NDArray[np.float32],
) -> None:
    """Fill the polar image of one cell, (A, R): the ridges along its rays, (R, A), less all prices.

    `walls` are the expected radius of each sector, the nearest and the farthest, (3, A). `crossed` is work space,
    (R + lag, A), whose first `lag` rows are 0: a crossed ridge counts `lag` steps later, since a membrane has a width,
    and its own near side must not count against it.
    """
    crossing, place_price, noise = prices[2], prices[3], prices[4]
    expected, nearest, farthest = walls[0], walls[1], walls[2]
    width = np.float32(step)
    for r in range(len(ridge)):
        radius = np.float32(r + 1) * width
        before, now = crossed[max(r + lag - 1, 0)], crossed[r + lag]
        for a in range(len(expected)):
            counts = np.float32(1) if radius >= nearest[a] - 1 else np.float32(0)
            now[a] = before[a] + counts * max(ridge[r, a] - noise, np.float32(0)) * width
        for a in range(len(expected)):
            # Soft walls: an outline through the own nucleus or a neighbour's is costly, but must stay possible, since
            # every sector needs some radius (nuclei may touch).
            beyond = max(nearest[a] - radius, np.float32(0)) + max(radius - farthest[a], np.float32(0))
            price = place_price * abs(radius - expected[a]) + crossing * crossed[r, a]
            gain[a, r] = ridge[r, a] - price - np.float32(0.15) * beyond


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _outlines(
    ridge: Plane,
    territory: NDArray[np.int32],
    distance: Plane,
    centres: NDArray[np.float64],
    nuclei: NDArray[np.float32],
    step: float,
    n_radii: int,
    lag: int,
    prices: NDArray[np.float32],
    step_price: float,
    per: int,
    n_sectors: int,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Trace all outlines; radii in pixels and the neighbours met."""
    n, polar = len(nuclei), (n_radii, n_sectors)
    radii = np.empty((n, n_sectors), np.float32)
    neighbour = np.empty((n, n_sectors), np.int32)
    # Work space shared by all cells.
    profile, index = np.empty(polar, np.float32), np.empty(polar, np.int32)
    u, v = np.empty(polar, np.float32), np.empty(polar, np.float32)
    crossed, walls = np.zeros((n_radii + lag, n_sectors), np.float32), np.empty((3, n_sectors), np.float32)
    gain = np.empty((n_sectors, n_radii), np.float32)
    best = np.empty((n_sectors + 1, n_radii + 2 * MAX_STEP), np.float32)
    back = np.empty((n_sectors + 1, n_radii), np.int32)
    path = np.empty(n_sectors, np.int32)
    expansion, reach = prices[0], prices[1]
    angle = 2 * math.pi * np.arange(n_sectors) / n_sectors
    cosine, sine = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    whole, part = np.empty((2, n_sectors), np.int32), np.empty((2, n_sectors), np.float32)
    for k in range(n):
        centre = (centres[k, 0], centres[k, 1])
        start_rays(centre, 0, n_sectors, whole, part)
        for a in range(n_sectors):
            nucleus = radius_at(nuclei[k], a / n_sectors)
            # A nucleus beyond the reach of this cell does not share its membrane.
            farthest = min(nucleus + reach, n_radii * step)
            neighbour[k, a], border, blocked = _neighbour_on_ray(
                territory, distance, k, centre, (cosine[a], sine[a]), step, nucleus + 0.5, farthest, per
            )
            walls[0, a] = min(border, nucleus + expansion)
            walls[1, a], walls[2, a] = nucleus + 0.5, min(blocked, nucleus + reach)
        place_rays(ridge.shape, whole, part, cosine, sine, (step, step), index, u, v)
        read_rays(ridge.reshape(-1), ridge.shape[1], index, u, v, profile)
        _fill_gain(profile, crossed, walls, step, lag, prices, gain)
        # Two steps of 0.375 µm per 10 degrees: at a radius of 6 µm an outline may run 35 degrees oblique to the circle,
        # enough for the corners of polygonal cells.
        closed_path(gain, step_price, MAX_STEP, best, back, path)
        for a in range(n_sectors):
            radii[k, a] = (path[a] + 1) * step
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
    radii, neighbour = _outlines(
        ridge,
        *territory,
        centres,
        nuclei,
        s.radius_step_um / um_px,
        round(s.max_radius_um / s.radius_step_um),
        round(0.75 / s.radius_step_um),
        prices,
        s.step_price_od,
        1 if territory[0].shape == ridge.shape else 2,
        N_SECTORS,
    )
    return Outlines(radii, neighbour)
