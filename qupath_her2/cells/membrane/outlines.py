"""Cell outlines: from each nucleus outwards to its membrane, or to where the neighbour's ground begins.

Along every ray the gain of a radius is the DAB ridge there, less what ridges were crossed before it (the first
membrane is the cell's own), less a price for leaving the expected place: half-way to the neighbouring nucleus, or a
fixed distance from the own one. A faint membrane moves the outline a little, a strong one holds it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.star_contours import FAST_MATH, bilinear, closed_path, radius_at
from qupath_her2.cells.stain_planes import Plane, Planes

__all__ = [
    "N_SECTORS",
    "NO_NEIGHBOUR",
    "Outlines",
    "OutlineSettings",
    "ground_of",
    "outline_cells",
    "outline_on_ground",
]

#: Directions (sectors) of a cell outline, 10 degrees each.
N_SECTORS = 36

#: No neighbouring nucleus in this direction.
NO_NEIGHBOUR = -1


@dataclass(frozen=True, slots=True)
class OutlineSettings:
    """Reach and prices of a cell outline.

    Attributes
    ----------
    radius_step_um, max_radius_um
        Radii tried, from the centre of the nucleus.
    expansion_um
        Where the outline of a lone unstained cell is expected, from the nuclear contour.
    reach_um
        Farthest from the nuclear contour.
    crossing_weight
        Price of a crossed ridge, per OD and pixel.
    place_price_od_um
        Price of one µm off the expected place.
    step_price_od
        Price of a change of radius by one step between neighbouring sectors.
    ridge_noise_od
        Ridge below this is noise and costs nothing to cross.
    """

    radius_step_um: float = 0.375
    max_radius_um: float = 13.0
    expansion_um: float = 4.5
    reach_um: float = 8.0
    crossing_weight: float = 0.6
    place_price_od_um: float = 0.012
    step_price_od: float = 0.006
    ridge_noise_od: float = 0.02


@dataclass(frozen=True, slots=True)
class Outlines:
    """N cell outlines: `radii` float32 (N, 36) px; `neighbour` int32 (N, 36), index of the cell beyond, or -1."""

    radii: NDArray[np.float32]
    neighbour: NDArray[np.int32]


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _claim(
    centres: NDArray[np.float64],
    radii: NDArray[np.float32],
    reach: float,
    owner: NDArray[np.int32],
    distance: Plane,
) -> None:
    height, width = owner.shape
    for k in range(len(radii)):
        largest = radii[k].max()
        x, y, far = centres[k, 0], centres[k, 1], largest + reach
        for row in range(max(int(y - far), 0), min(int(y + far) + 2, height)):
            for column in range(max(int(x - far), 0), min(int(x + far) + 2, width)):
                dx, dy = column - x, row - y
                from_centre = math.sqrt(dx * dx + dy * dy)
                # Nearer than this it cannot be; most places are settled without an angle.
                if from_centre - largest >= min(distance[row, column], reach):
                    continue
                turn = math.atan2(dy, dx) / (2 * math.pi)
                away = from_centre - radius_at(radii[k], turn + 1 if turn < 0 else turn)
                if away < min(distance[row, column], reach):
                    distance[row, column] = away
                    owner[row, column] = k


def ground_of(
    shape: tuple[int, int], centres: NDArray[np.float64], radii: NDArray[np.float32], reach_px: float
) -> tuple[NDArray[np.int32], Plane]:
    """Give every place to the nucleus whose contour is nearest, at half the resolution: borders are expectations.

    Distances are taken along rays from the nuclei, not by a distance transform of their pixels: its sweeps settle
    near-ties by their direction, and a turned picture got other borders.

    Parameters
    ----------
    shape
        (H, W) of the tile.
    centres, radii
        float64 (N, 2) and (N, A), nuclear contours, pixels of the tile.
    reach_px
        Ground farther than this from every contour is nobody's.

    Returns
    -------
    int32 (ceil(H / 2), ceil(W / 2)) index of the nucleus (-1 for none), and float32 of the same shape: distance to
        its contour, pixels of the half grid, negative inside, infinite on nobody's ground.
    """
    height, width = shape
    owner = np.full((-(-height // 2), -(-width // 2)), NO_NEIGHBOUR, np.int32)
    distance = np.full(owner.shape, np.inf, np.float32)
    # From pixel centres of the tile to those of the half grid.
    _claim((centres + 0.5) / 2 - 0.5, radii / np.float32(2), reach_px / 2, owner, distance)
    return owner, distance


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _ray_gain(
    ridge: Plane,
    ground: NDArray[np.int32],
    distance: Plane,
    own: int,
    x: float,
    y: float,
    cosine: float,
    sine: float,
    nucleus_px: float,
    step: float,
    lag: int,
    prices: NDArray[np.float32],
    per: int,
    gain: NDArray[np.float32],
) -> int:
    """Fill the gain along one ray; return the neighbour met within reach."""
    expansion, reach, crossing, place_price, noise = prices[0], prices[1], prices[2], prices[3], prices[4]
    height, width = ground.shape
    n_radii = len(gain)
    border = -1.0
    blocked = 1e9
    neighbour = NO_NEIGHBOUR
    for r in range(n_radii):
        radius = (r + 1) * step
        px, py = x + radius * cosine, y + radius * sine
        gain[r] = bilinear(ridge, px, py)
        column = min(max(int((px + 0.5) / per), 0), width - 1)
        row = min(max(int((py + 0.5) / per), 0), height - 1)
        if radius > nucleus_px + 0.5 and ground[row, column] != own and ground[row, column] != NO_NEIGHBOUR:
            if border < 0:
                border = radius
                neighbour = ground[row, column]
            if distance[row, column] <= 0 and radius < blocked:
                blocked = radius
    if border < 0 or border > nucleus_px + reach:
        neighbour = NO_NEIGHBOUR
    expected = nucleus_px + expansion
    if 0 < border < expected:
        expected = border
    nearest, farthest = nucleus_px + 0.5, min(nucleus_px + reach, blocked)
    crossed = np.zeros(n_radii, np.float32)
    total = 0.0
    for r in range(n_radii):
        radius = (r + 1) * step
        if radius >= nearest - 1:
            total += max(gain[r] - noise, 0.0) * step
        crossed[r] = total
        value = gain[r] - place_price * abs(radius - expected)
        if r >= lag:
            value -= crossing * crossed[r - lag]
        # Soft walls: through the own nucleus or into a neighbour's is possible but dear.
        value -= 0.15 * (max(nearest - radius, 0.0) + max(radius - farthest, 0.0))
        gain[r] = value
    return neighbour


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _outlines(
    ridge: Plane,
    ground: NDArray[np.int32],
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
    n = len(nuclei)
    radii = np.empty((n, n_sectors), np.float32)
    neighbour = np.empty((n, n_sectors), np.int32)
    gain = np.empty((n_sectors, n_radii), np.float32)
    best = np.empty((n_sectors + n_sectors // 2, n_radii), np.float32)
    back = np.empty((n_sectors + n_sectors // 2, n_radii), np.int32)
    path = np.empty(n_sectors, np.int32)
    for k in range(n):
        for a in range(n_sectors):
            turn = a / n_sectors
            cosine = math.cos(2 * math.pi * turn)
            sine = math.sin(2 * math.pi * turn)
            nucleus = radius_at(nuclei[k], turn)
            neighbour[k, a] = _ray_gain(
                ridge, ground, distance, k, centres[k, 0], centres[k, 1], cosine, sine,
                nucleus, step, lag, prices, per, gain[a],
            )  # fmt: skip
        closed_path(gain, step_price, 2, best, back, path)
        for a in range(n_sectors):
            radii[k, a] = (path[a] + 1) * step
    return radii, neighbour


def outline_cells(
    planes: Planes,
    centres: NDArray[np.float64],
    nuclei: NDArray[np.float32],
    settings: OutlineSettings | None = None,
) -> Outlines:
    """Outline the cell of every nucleus.

    Parameters
    ----------
    planes
        Of the tile.
    centres, nuclei
        float64 (N, 2) and (N, A), nuclear contours, pixels of the tile.
    settings
        Reach and prices.
    """
    s = settings or OutlineSettings()
    ground = ground_of(planes.ridge.shape, centres, nuclei, s.reach_um / planes.um_px)
    return _traced(planes.ridge, planes.um_px, centres, nuclei, ground, s)


def outline_on_ground(
    ridge: Plane,
    um_px: float,
    centres: NDArray[np.float64],
    nuclei: NDArray[np.float32],
    ground: NDArray[np.int32],
    is_nucleus: NDArray[np.bool_],
    settings: OutlineSettings | None = None,
) -> Outlines:
    """Outline the cell of every nucleus where somebody else has shared out the ground.

    Parameters
    ----------
    ridge
        float32 (H, W), how strongly a membrane stands at each place, OD.
    um_px
        Size of its pixels, µm.
    centres, nuclei
        float64 (N, 2) and (N, A), nuclear contours, pixels.
    ground
        int32 (H, W), the nucleus that owns each place, -1 for none.
    is_nucleus
        bool (H, W), inside any nucleus.
    settings
        Reach and prices.
    """
    s = settings or OutlineSettings()
    distance = np.where(is_nucleus, np.float32(-1), np.float32(1))
    return _traced(ridge, um_px, centres, nuclei, (ground, distance), s)


def _traced(
    ridge: Plane,
    um_px: float,
    centres: NDArray[np.float64],
    nuclei: NDArray[np.float32],
    ground: tuple[NDArray[np.int32], Plane],
    s: OutlineSettings,
) -> Outlines:
    """Find the outlines on ground that is given at the full resolution or at a half of it."""
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
        *ground,
        centres,
        nuclei,
        s.radius_step_um / um_px,
        round(s.max_radius_um / s.radius_step_um),
        round(0.75 / s.radius_step_um),
        prices,
        s.step_price_od,
        1 if ground[0].shape == ridge.shape else 2,
        N_SECTORS,
    )
    return Outlines(radii, neighbour)
