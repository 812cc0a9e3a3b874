"""Star-shaped contours: the geometry shared by nuclear contours and cell outlines.

A contour has one radius per angle around a centre. A star-shaped polygon with positive radii never crosses itself, so
QuPath can read every outline.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

#: Optimisations allowed in the kernels: sums may be reordered and contracted (needed to vectorise them), but NaN keeps
#: its meaning, "not measured", which rules out plain ``fastmath=True``.
FAST_MATH = {"arcp", "contract", "nsz", "reassoc"}

__all__ = [
    "FAST_MATH",
    "bilinear",
    "centroid_offsets",
    "mean_within",
    "polygon_areas",
    "polygon_centroids",
    "polygons",
    "radius_at",
    "rays_to_box",
]


@nb.njit(cache=True, nogil=True, inline="always", fastmath=FAST_MATH)
def bilinear(plane: NDArray[np.float32], x: float, y: float) -> float:
    """Return the value of a plane between its pixels, by bilinear interpolation.

    Parameters
    ----------
    plane
        float32 (H, W), both at least 2.
    x, y
        Position, pixels; pixel centres lie at whole numbers. Positions outside are moved to the edge.

    Returns
    -------
    float
        Interpolated value.
    """
    height, width = plane.shape
    # Just below the last pixel, so that the next one always exists and the loop needs no branch.
    x = min(max(x, 0.0), width - 1.001)
    y = min(max(y, 0.0), height - 1.001)
    i = int(x)
    j = int(y)
    u = x - i
    v = y - j
    top = plane[j, i] + (plane[j, i + 1] - plane[j, i]) * u
    low = plane[j + 1, i] + (plane[j + 1, i + 1] - plane[j + 1, i]) * u
    return float(top + (low - top) * v)


@nb.njit(cache=True, nogil=True, inline="always", fastmath=FAST_MATH)
def radius_at(radii: NDArray[np.float32], turn: float) -> float:
    """Return the radius of one contour, float32 (A), at a fraction of a full turn, 0..1, by linear interpolation."""
    place = turn * len(radii)
    whole = int(place)
    u = place - whole
    # A full turn is angle 0 again.
    i = whole % len(radii)
    return float(radii[i] * (1 - u) + radii[(i + 1) % len(radii)] * u)


@nb.njit(cache=True, nogil=True)
def polygons(centres: NDArray[np.float64], radii: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the vertices of star-shaped contours.

    Parameters
    ----------
    centres
        float64 (N, 2), x, y.
    radii
        float32 (N, A), > 0, in the unit of `centres`; angles count from +x towards +y.

    Returns
    -------
    NDArray[np.float64]
        float64 (N, A, 2), open rings that start at angle 0.
    """
    n, n_angles = radii.shape
    vertices, angle = np.empty((n, n_angles, 2)), 2 * math.pi * np.arange(n_angles) / n_angles
    cosine, sine = np.cos(angle), np.sin(angle)
    for k in range(n):
        for a in range(n_angles):
            vertices[k, a, 0] = centres[k, 0] + radii[k, a] * cosine[a]
            vertices[k, a, 1] = centres[k, 1] + radii[k, a] * sine[a]
    return vertices


def rays_to_box(
    centres: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64], n_angles: int
) -> NDArray[np.float64]:
    """Return the distances from points inside a box to its sides, along the directions of `polygons`.

    Parameters
    ----------
    centres
        float64 (N, 2), x, y, inside the box.
    low, high
        float64 (2), corners of the box, in the unit of `centres`.
    n_angles
        Number of directions; angles count from +x towards +y.

    Returns
    -------
    NDArray[np.float64]
        float64 (N, n_angles), in the unit of `centres`.
    """
    angle = np.linspace(0, 2 * np.pi, n_angles, endpoint=False)
    along = np.stack([np.cos(angle), np.sin(angle)], -1)
    room = np.where(along > 0, (high - centres)[:, None], (centres - low)[:, None])
    # A direction parallel to a side never meets it: division by zero gives infinity, and the other side decides.
    with np.errstate(divide="ignore"):
        rays: NDArray[np.float64] = (room / np.abs(along)).min(-1)
    return rays


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def mean_within(
    plane: NDArray[np.float32], centres: NDArray[np.float64], radii: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean of a plane within star-shaped contours.

    Parameters
    ----------
    plane
        float32 (H, W).
    centres
        float64 (N, 2), pixels.
    radii
        float32 (N, A), pixels.

    Returns
    -------
    NDArray[np.float32]
        float32 (N), sampled about once a pixel along the rays.
    """
    n, n_rays = radii.shape
    means = np.empty(n, np.float32)
    for k in range(n):
        total, area = 0.0, 0.0
        for a in range(n_rays):
            cosine, sine = math.cos(2 * math.pi * a / n_rays), math.sin(2 * math.pi * a / n_rays)
            # At most a pixel per step, and at least one step for tiny radii.
            steps = int(radii[k, a]) + 1
            width = radii[k, a] / steps
            for step in range(steps):
                r = (step + 0.5) * width
                # Polar sampling: the area of an annulus grows with its radius.
                total += r * width * bilinear(plane, centres[k, 0] + r * cosine, centres[k, 1] + r * sine)
                area += r * width
        means[k] = total / area
    return means


def polygon_areas(radii: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the areas of star-shaped polygons: the sum of the triangles between neighbouring radii.

    Parameters
    ----------
    radii
        float32 (N, A), any unit.

    Returns
    -------
    NDArray[np.float32]
        float32 (N), in the square of that unit.
    """
    wedge = math.sin(2 * math.pi / radii.shape[1]) / 2
    areas: NDArray[np.float32] = (radii * np.roll(radii, -1, axis=1)).sum(1) * np.float32(wedge)
    return areas


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def polygon_centroids(radii: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the centroids of star-shaped polygons relative to their centres.

    Parameters
    ----------
    radii
        float32 (N, A), distances of the vertices.

    Returns
    -------
    NDArray[np.float64]
        float64 (N, 2), x, y, in the unit of the radii; the centre itself where the polygon has no area.
    """
    n, n_angles = radii.shape
    centroids, angle = np.empty((n, 2)), 2 * math.pi * np.arange(n_angles) / n_angles
    cosine, sine = np.cos(angle), np.sin(angle)
    for k in range(n):
        total, x, y = 0.0, 0.0, 0.0
        for a in range(n_angles):
            b = a + 1 if a + 1 < n_angles else 0
            # A fan of triangles between the centre and each edge, weighted by their areas.
            one, other = np.float64(radii[k, a]), np.float64(radii[k, b])
            weight = one * other
            total += weight
            x += weight * (one * cosine[a] + other * cosine[b])
            y += weight * (one * sine[a] + other * sine[b])
        share = 1 / (3 * max(total, 1e-9))
        centroids[k, 0], centroids[k, 1] = x * share, y * share
    return centroids


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def centroid_offsets(radii: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the centroids of star-shaped contours relative to their centres.

    Parameters
    ----------
    radii
        float32 (N, A), contours taken as smooth curves, not polygons.

    Returns
    -------
    NDArray[np.float64]
        float64 (N, 2), x, y, in the unit of the radii.
    """
    n, n_angles = radii.shape
    offsets, angle = np.empty((n, 2)), 2 * math.pi * np.arange(n_angles) / n_angles
    cosine, sine = np.cos(angle), np.sin(angle)
    for k in range(n):
        area, x, y = 0.0, 0.0, 0.0
        for a in range(n_angles):
            r = np.float64(radii[k, a])
            # The centroid of a narrow sector of radius r lies at 2 r / 3, and its area grows with r^2.
            area += r * r
            x += r * r * r * cosine[a]
            y += r * r * r * sine[a]
        share = (2 / 3) / max(area, 1e-6)
        offsets[k, 0], offsets[k, 1] = x * share, y * share
    return offsets
