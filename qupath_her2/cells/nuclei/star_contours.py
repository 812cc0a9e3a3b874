"""Star-shaped contours: the geometry shared by nuclear contours and cell outlines.

A contour has one radius per angle around a centre. The best contour maximises the sum of a gain over all angles, minus
a price on changes of radius between neighbouring angles, and closes on itself; it is found by dynamic programming,
independently of the image's orientation. A star-shaped polygon with positive radii never crosses itself, so QuPath can
read every outline.

References
----------
.. [1] Malpica N, et al. "Applying watershed algorithms to the segmentation of clustered nuclei." Cytometry
   28:289-297, 1997 (the usual alternative, which splits elongated nuclei and follows noise).
.. [2] Sun C, Pallottino S. "Circular shortest path in images." Pattern Recognition 36:709-719, 2003.
   doi:10.1016/S0031-3203(02)00085-7 (closed paths by unrolling).
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
    "MAX_STEP",
    "bilinear",
    "bilinear_pair",
    "centroid_offsets",
    "closed_path",
    "mean_within",
    "place_rays",
    "polygon_areas",
    "polygon_centroids",
    "polygons",
    "radius_at",
    "rays_to_box",
    "read_rays",
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
def bilinear_pair(
    first: NDArray[np.float32], second: NDArray[np.float32], x: float, y: float
) -> tuple[float, float]:
    """Return the values of two planes of equal size at one position, computing the weights once.

    Parameters
    ----------
    first, second
        float32 (H, W), both at least 2.
    x, y
        Position, pixels, as in `bilinear`.

    Returns
    -------
    tuple[float, float]
        Interpolated values of both planes.
    """
    height, width = first.shape
    x = min(max(x, 0.0), width - 1.001)
    y = min(max(y, 0.0), height - 1.001)
    i = int(x)
    j = int(y)
    u = x - i
    v = y - j
    p, q, r, s = (1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v
    a = first[j, i] * p + first[j, i + 1] * q + first[j + 1, i] * r + first[j + 1, i + 1] * s
    b = second[j, i] * p + second[j, i + 1] * q + second[j + 1, i] * r + second[j + 1, i + 1] * s
    return a, b


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def place_rays(
    shape: tuple[int, int],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    cosine: NDArray[np.float32],
    sine: NDArray[np.float32],
    distance: tuple[float, float],
    index: NDArray[np.int32],
    u: NDArray[np.float32],
    v: NDArray[np.float32],
) -> None:
    """Find the pixels between which the samples along rays lie, for `read_rays`.

    Apart from the reading, and with the rays side by side, because then this part is vectorised: both together take
    half the time of `bilinear` for each sample.

    Parameters
    ----------
    shape
        (H, W) of the plane, both at least 2.
    x, y, cosine, sine
        float32 (A), beginning of each ray, pixels (pixel centres lie at whole numbers), and its direction.
    distance
        Distance of the first sample from the beginning, and of each from the one before, pixels. Samples outside the
        plane are moved to its edge.
    index, u, v
        int32, float32 and float32 (S, A), overwritten with the upper left pixel of each sample in the flattened plane,
        and the distances from it, 0..1.
    """
    # Just below the last pixel, so that the next one always exists.
    most_x, most_y = np.float32(shape[1] - 1.001), np.float32(shape[0] - 1.001)
    width = np.int32(shape[1])
    for k in range(len(index)):
        radius = np.float32(distance[0] + k * distance[1])
        for a in range(len(cosine)):
            at_x = min(max(x[a] + radius * cosine[a], np.float32(0)), most_x)
            at_y = min(max(y[a] + radius * sine[a], np.float32(0)), most_y)
            column, row = np.int32(at_x), np.int32(at_y)
            u[k, a], v[k, a] = at_x - np.float32(column), at_y - np.float32(row)
            index[k, a] = row * width + column


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def read_rays(
    plane: NDArray[np.float32],
    width: int,
    index: NDArray[np.int32],
    u: NDArray[np.float32],
    v: NDArray[np.float32],
    values: NDArray[np.float32],
) -> None:
    """Read a plane at the samples along rays, by bilinear interpolation.

    Parameters
    ----------
    plane
        float32 (H * W), flattened.
    width
        W.
    index, u, v
        (S, A), from `place_rays`.
    values
        float32 (S, A), overwritten.
    """
    # Unsigned: an index that could be negative would be checked for each sample.
    one, below = np.uint64(1), np.uint64(width)
    for k in range(len(index)):
        for a in range(index.shape[1]):
            at = np.uint64(index[k, a])
            top = plane[at] + (plane[at + one] - plane[at]) * u[k, a]
            low = plane[at + below] + (plane[at + below + one] - plane[at + below]) * u[k, a]
            values[k, a] = top + (low - top) * v[k, a]


@nb.njit(cache=True, nogil=True, inline="always", fastmath=FAST_MATH)
def radius_at(radii: NDArray[np.float32], turn: float) -> float:
    """Return the radius of one contour, float32 (A), at a fraction of a full turn, 0..1, by linear interpolation."""
    place = turn * len(radii)
    whole = int(place)
    u = place - whole
    # A full turn is angle 0 again.
    i = whole % len(radii)
    return float(radii[i] * (1 - u) + radii[(i + 1) % len(radii)] * u)


#: Largest change of radius index between neighbouring angles that `closed_path` allows.
MAX_STEP = 2

#: Below every sum of gains: no path comes from outside the radii.
_IMPOSSIBLE = np.float32(-1e9)


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _advance(
    gain: NDArray[np.float32],
    first: int,
    n_steps: int,
    one: np.float32,
    two: np.float32,
    best: NDArray[np.float32],
    back: NDArray[np.int32],
) -> None:
    """Extend the best sums by `n_steps` angles; ``best[0]`` holds those at angle `first`, `back` receives the path.

    `one` and `two` are the prices of a change of radius by one step and by two.
    """
    n_angles, n_radii = gain.shape
    a = first % n_angles
    for i in range(1, n_steps + 1):
        a = a + 1 if a + 1 < n_angles else 0
        before, now, origin, added = best[i - 1], best[i], back[i], gain[a]
        # Written out and without branches, since only so it is vectorised, 4 times as fast. Ties go to no change of
        # radius, then to the smaller change: the smoother contour.
        for r in range(n_radii):
            value, radius = before[r + MAX_STEP], nb.int32(r)
            other = before[r + MAX_STEP - 1] - one
            radius = nb.int32(r - 1) if other > value else radius
            value = other if other > value else value
            other = before[r + MAX_STEP + 1] - one
            radius = nb.int32(r + 1) if other > value else radius
            value = other if other > value else value
            other = before[r] - two
            radius = nb.int32(r - 2) if other > value else radius
            value = other if other > value else value
            other = before[r + 2 * MAX_STEP] - two
            radius = nb.int32(r + 2) if other > value else radius
            value = other if other > value else value
            now[r + MAX_STEP] = value + added[r]
            origin[r] = radius


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _clearest_angle(gain: NDArray[np.float32]) -> int:
    """Return the first angle that has the largest gain."""
    clear, most = 0, _IMPOSSIBLE
    for a in range(len(gain)):
        highest = gain[a, 0]
        for r in range(1, gain.shape[1]):
            highest = max(highest, gain[a, r])
        if highest > most:
            clear, most = a, highest
    return clear


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def closed_path(
    gain: NDArray[np.float32],
    step_price: float,
    max_step: int,
    best: NDArray[np.float32],
    back: NDArray[np.int32],
    path: NDArray[np.int32],
) -> None:
    """Find a closed path of large gain through a polar image, into `path`.

    Parameters
    ----------
    gain
        float32 (A, R), gain of passing radius index r at angle a.
    step_price
        Price per step of radius between neighbouring angles, in units of `gain`.
    max_step
        Largest change of radius index between neighbouring angles, 1 or 2.
    best, back
        Work space, float32, at least (A + 1, R + 4), and int32, at least (A + 1, R); passed in so that nothing is
        allocated per contour.
    path
        int32 (A), overwritten with the radius index at each angle.

    Notes
    -----
    The exact optimum needs one dynamic programme per starting radius [2]_. Instead one starting point is fixed: the
    direction with the largest gain, which is where the contour is clearest and which turns with the image. Half a turn
    centred on that direction decides the radius there, and one full turn then leaves from that radius and returns to
    it. On contours that stand out from noise the result is the optimum.
    """
    n_angles, n_radii = gain.shape
    one = np.float32(step_price)
    two = np.float32(2 * step_price) if max_step > 1 else -_IMPOSSIBLE
    # Beside the radii nothing is ever the best, so that no step needs to ask whether it leaves them.
    for i in range(n_angles + 1):
        for r in range(MAX_STEP):
            best[i, r] = best[i, MAX_STEP + n_radii + r] = _IMPOSSIBLE
    # The direction of the largest gain turns with the image, unlike angle 0.
    clear = _clearest_angle(gain)
    # First pass: half a turn, which fixes the radius at the clear direction.
    quarter = n_angles // 4
    first = clear + n_angles - quarter
    for r in range(n_radii):
        best[0, MAX_STEP + r] = gain[first % n_angles, r]
    _advance(gain, first, 2 * quarter, one, two, best, back)
    # The best half-turn path is traced back to its middle, the clear direction: evidence on both sides of it decides.
    anchor = 0
    for r in range(1, n_radii):
        if best[2 * quarter, MAX_STEP + r] > best[2 * quarter, MAX_STEP + anchor]:
            anchor = r
    for i in range(2 * quarter, quarter, -1):
        anchor = back[i, anchor]
    # Only the anchor may be left; the path must also return to it, hence the trace back from there.
    for r in range(n_radii):
        best[0, MAX_STEP + r] = _IMPOSSIBLE
    best[0, MAX_STEP + anchor] = 0.0
    # Second pass: one full turn from the anchor back to it.
    _advance(gain, clear, n_angles, one, two, best, back)
    r = anchor
    for i in range(n_angles, 0, -1):
        path[(clear + i) % n_angles] = r
        r = back[i, r]


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
    angle = np.linspace(0, 2 * np.pi, radii.shape[1], endpoint=False)
    offset = radii[:, :, None] * np.stack([np.cos(angle), np.sin(angle)], -1)[None]
    vertices: NDArray[np.float64] = centres[:, None, :] + offset
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
    angle = np.linspace(0, 2 * np.pi, radii.shape[1], endpoint=False)
    vertices = radii[:, :, None].astype(np.float64) * np.stack([np.cos(angle), np.sin(angle)], 1)
    after = np.roll(vertices, -1, axis=1)
    # A fan of triangles between the centre and each edge, weighted by their areas.
    weight = radii.astype(np.float64) * np.roll(radii, -1, axis=1)
    total = np.maximum(weight.sum(1), 1e-9)[:, None]
    centroids: NDArray[np.float64] = ((vertices + after) * weight[:, :, None]).sum(1) / (3 * total)
    return centroids


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
    r = radii.astype(np.float64)
    angle = np.linspace(0, 2 * np.pi, r.shape[1], endpoint=False)
    area = np.maximum((r**2).sum(1), 1e-6)
    # The centroid of a narrow sector of radius r lies at 2 r / 3, and its area grows with r^2.
    x = (r**3 * np.cos(angle)).sum(1) / area * (2 / 3)
    y = (r**3 * np.sin(angle)).sum(1) / area * (2 / 3)
    return np.stack([x, y], 1)
