"""Features of nuclei and of the tissue around them, by which tumour cells are told from all others.

Nothing here measures the amount of DAB: a tumour without HER2 must be found as well as one of 3+, and regions chosen by
their stain would score too high. Densities of both stains serve only to tell tissue from glass. Everything reaches
less far than the halo of a tile (see `cells.grid`), so that features do not depend on the tiling; what needs more of
the image is left to `cells.tumour.finder`.
"""

from __future__ import annotations

import math

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.star_contours import FAST_MATH, bilinear, polygon_areas, radius_at
from qupath_her2.cells.stain_planes import Plane, Planes, blur

__all__ = ["AXIS_NAMES", "FEATURE_NAMES", "REACH_UM", "tissue_features"]

_NUCLEUS_NAMES = (
    "log_area", "roundness", "elongation", "roughness", "h_inside", "h_sd", "h_middle", "h_highest", "h_lowest",
    "h_step", "h_ring", "h_ring_sd", "h_halo", "h_halo_sd",
)  # fmt: skip
_MAP_NAMES = (
    "h_between",
    "tissue",
    "glass",
    "nuclear_share",
    "fine_texture",
    "fibre_strength",
    "fibre_order",
)
#: Gaussian sigmas of the tissue around a nucleus, µm.
_SIGMAS_UM = (3.0, 7.0, 14.0)
#: The nucleus's long axis as a vector of doubled angle times elongation: for the order among neighbours, no feature
#: by itself, since it turns with the image.
AXIS_NAMES = ("axis_cosine", "axis_sine")
#: Columns of `tissue_features`, as stored with the trained trees; the last two are `AXIS_NAMES`.
FEATURE_NAMES = (
    *_NUCLEUS_NAMES,
    *(f"{name}_{sigma:g}" for sigma in _SIGMAS_UM for name in _MAP_NAMES),
    *AXIS_NAMES,
)

#: How far features depend on pixels around a nuclear centre, µm: three of the widest sigma, and the maps' own blur.
REACH_UM = 3 * 14.0 + 6.0

#: Optical density of both stains at which half of a pixel counts as tissue, and under which it is glass or fat.
_TISSUE_OD, _GLASS_OD = 0.05, 0.03
#: Sigmas of the texture removed as background, and of the directions of fibres, µm.
_TEXTURE_UM, _FIBRE_UM = 1.5, 2.0
#: Slopes under this are noise without direction, OD/µm.
_NOISE_OD_UM = 0.005
#: Cap of haematoxylin: pigment must not dwarf nuclei.
_MOST_OD = 0.6


def tissue_features(
    planes: Planes, centre: NDArray[np.float64], radii: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Measure nuclei and the tissue within some 40 µm of them.

    Parameters
    ----------
    planes
        Stain planes of a tile whose origin and size are multiples of 8 pixels.
    centre
        float64 (N, 2), centres of all nuclei of the tile, x, y, pixels of the tile.
    radii
        float32 (N, A), their contours, pixels; 0 for a cell without nucleus.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, F), columns `FEATURE_NAMES`, finite. Densities are OD, areas log µm², shares 0..1.
    """
    if not len(centre):
        return np.zeros((0, len(FEATURE_NAMES)), np.float32)
    # A cell without nucleus is measured as a small disc, so that no feature is missing.
    radii = np.where(radii > 0, radii, np.float32(1.0 / planes.um_px)).astype(np.float32)
    shape, axis = _shape(radii, planes.um_px)
    h = np.clip(planes.hematoxylin, np.float32(-0.05), np.float32(_MOST_OD))
    inner = _readings(h, centre, radii, 1 / planes.um_px)
    around = _around(planes, h, centre, radii)
    return np.ascontiguousarray(np.concatenate([shape, inner, around, axis], 1), np.float32)


def _shape(radii: NDArray[np.float32], um_px: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return log area (µm²), roundness, elongation and roughness (N, 4), and the axis (N, 2), see `AXIS_NAMES`."""
    angle = np.linspace(0, 2 * np.pi, radii.shape[1], endpoint=False, dtype=np.float32)
    x, y = radii * np.cos(angle), radii * np.sin(angle)
    perimeter = np.hypot(x - np.roll(x, -1, 1), y - np.roll(y, -1, 1)).sum(1)
    area, mean = polygon_areas(radii), radii.mean(1)
    axis = np.stack(
        [(radii * np.cos(2 * angle)).mean(1) / mean, (radii * np.sin(2 * angle)).mean(1) / mean], 1
    )
    bend = np.abs(np.roll(radii, 1, 1) + np.roll(radii, -1, 1) - 2 * radii).mean(1) / mean
    columns = [np.log(area * np.float32(um_px**2)), 4 * np.pi * area / perimeter**2, np.hypot(*axis.T), bend]
    return np.stack(columns, 1).astype(np.float32), axis.astype(np.float32)


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _readings(
    h: Plane, centres: NDArray[np.float64], radii: NDArray[np.float32], px_um: float
) -> NDArray[np.float32]:
    """Return haematoxylin inside each nucleus and in rings around it, float32 (N, 10), see `_NUCLEUS_NAMES`."""
    n, n_angles = radii.shape
    out = np.empty((n, 10), np.float32)
    half = n_angles // 2
    for k in range(n):
        weight, total, square, middle = 0.0, 0.0, 0.0, 0.0
        highest, lowest = -1.0, 2.0
        ring, ring_square, halo, halo_square, step = 0.0, 0.0, 0.0, 0.0, 0.0
        # Every second direction: means need no finer sampling.
        for a in range(0, n_angles, 2):
            cosine, sine = math.cos(2 * math.pi * a / n_angles), math.sin(2 * math.pi * a / n_angles)
            x, y, radius = centres[k, 0], centres[k, 1], radii[k, a]
            # Four samples along the radius, weighted by f: the area they stand for grows with it.
            for f in (0.2, 0.45, 0.65, 0.85):
                value = bilinear(h, x + f * radius * cosine, y + f * radius * sine)
                weight += f
                total += f * value
                square += f * value * value
                highest, lowest = max(highest, value), min(lowest, value)
                if f < 0.5:
                    middle += value
            for beyond in (1.0, 1.75, 2.5):
                at = radius + beyond * px_um
                value = bilinear(h, x + at * cosine, y + at * sine)
                ring += value
                ring_square += value * value
                if beyond == 1.0:
                    step += value
            for beyond in (3.5, 4.75, 6.0):
                at = radius + beyond * px_um
                value = bilinear(h, x + at * cosine, y + at * sine)
                halo += value
                halo_square += value * value
        mean = total / weight
        out[k, 0], out[k, 2] = mean, middle / (2 * half)
        # Rounding can make a variance slightly negative.
        out[k, 1] = math.sqrt(max(square / weight - mean * mean, 0.0))
        out[k, 3], out[k, 4], out[k, 5] = highest, lowest, mean - step / half
        out[k, 6], out[k, 8] = ring / (3 * half), halo / (3 * half)
        out[k, 7] = math.sqrt(max(ring_square / (3 * half) - out[k, 6] ** 2, 0.0))
        out[k, 9] = math.sqrt(max(halo_square / (3 * half) - out[k, 8] ** 2, 0.0))
    return out


def _around(
    planes: Planes, h: Plane, centre: NDArray[np.float64], radii: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return Gaussian means of the tissue around each centre, float32 (N, S * 7), see `_MAP_NAMES`."""
    # Half-size planes: a quarter of the work, and texture under 1 µm is noise of the camera.
    um_px = 2 * planes.um_px
    height, width = (-(-side // 2) for side in h.shape)
    small = _resized(h, width, height)
    density = np.maximum(_resized(h + np.maximum(planes.all_dab, 0), width, height), 0)
    # Pixel centres lie at whole numbers in both grids: hence the halves.
    place = (centre + 0.5) / 2 - 0.5
    nuclei = np.zeros((height, width), np.uint8)
    _fill(nuclei, place, radii / np.float32(2))
    free = (1 - cv2.dilate(nuclei, np.ones((3, 3), np.uint8))).astype(np.float32)
    fine = np.abs(small - blur(small, _TEXTURE_UM / um_px)) * free
    xx, yy, xy = _slopes(small, um_px)
    maps = [small * free, free, density / (density + np.float32(_TISSUE_OD)), _as_float(density < _GLASS_OD)]
    maps += [_as_float(nuclei), fine, xx * free, yy * free, xy * free]
    columns: list[NDArray[np.float32]] = []
    for sigma in _SIGMAS_UM:
        a, share, tissue, glass, nuclear, texture, a_xx, a_yy, a_xy = _means(maps, sigma / um_px, place)
        share = np.maximum(share, np.float32(0.02))
        strength = a_xx + a_yy
        order = np.hypot(a_xx - a_yy, 2 * a_xy) / (strength + np.float32(_NOISE_OD_UM**2) * share)
        columns += [a / share, tissue, glass, nuclear, texture / share, np.sqrt(strength / share), order]
    return np.stack(columns, 1)


@nb.njit(cache=True, nogil=True)
def _fill(mask: NDArray[np.uint8], centres: NDArray[np.float64], radii: NDArray[np.float32]) -> None:
    """Set the pixels whose centre lies in a nucleus to 1.

    OpenCV's polygons cover their edge on some sides more than on others, so that a turned picture would differ.
    """
    height, width = mask.shape
    for k in range(len(centres)):
        cx, cy = centres[k]
        reach = radii[k].max()
        for y in range(max(math.ceil(cy - reach), 0), min(math.floor(cy + reach), height - 1) + 1):
            for x in range(max(math.ceil(cx - reach), 0), min(math.floor(cx + reach), width - 1) + 1):
                turn = math.atan2(y - cy, x - cx) / (2 * math.pi)
                if math.hypot(x - cx, y - cy) <= radius_at(radii[k], turn % 1.0):
                    mask[y, x] = 1


def _as_float(mask: NDArray[np.bool_] | NDArray[np.uint8]) -> Plane:
    return np.asarray(mask, np.float32)


def _resized(plane: Plane, width: int, height: int) -> Plane:
    """Reduce a plane by averaging."""
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _slopes(plane: Plane, um_px: float) -> tuple[Plane, Plane, Plane]:
    """Return the products of slopes whose means form the structure tensor, (OD / µm)²."""
    smooth = blur(plane, _FIBRE_UM / 2 / um_px)
    x, y = (cv2.Scharr(smooth, cv2.CV_32F, *d) / np.float32(32 * um_px) for d in ((1, 0), (0, 1)))
    return x * x, y * y, x * y


def _means(maps: list[Plane], sigma_px: float, place: NDArray[np.float64]) -> list[NDArray[np.float32]]:
    """Return the Gaussian means of maps at the places (N, 2), pixels of the maps."""
    height, width = maps[0].shape
    # Wide means of half-size maps again: their origin is a multiple of four of these pixels.
    scale = 4 if sigma_px >= 6 else 2 if sigma_px >= 3 else 1
    at = (place + 0.5) / scale - 0.5
    found = []
    for plane in maps:
        reduced = plane if scale == 1 else _resized(plane, -(-width // scale), -(-height // scale))
        found.append(_read(blur(reduced, sigma_px / scale), at))
    return found


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _read(plane: Plane, at: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the values of a plane at places (N, 2)."""
    values = np.empty(len(at), np.float32)
    for k in range(len(at)):
        values[k] = bilinear(plane, at[k, 0], at[k, 1])
    return values
