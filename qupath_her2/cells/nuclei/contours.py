"""Nuclear contours: the closed contour around a seed across which the nuclear evidence falls most.

Edges alone would let a nucleolus win over its nucleus, and region evidence alone would fill a dark cytoplasm. The gain
of a radius adds both: the fall of evidence across it, weighted up with the radius, and the evidence accumulated
inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.bins import sort_into_bins
from qupath_her2.cells.nuclei.candidates import N_STAIN_READINGS, Candidates, join_candidates, read_stains
from qupath_her2.cells.nuclei.closed_path import TOGETHER, closed_paths, work_space
from qupath_her2.cells.nuclei.rays import place_samples, ray_offsets, read_pairs
from qupath_her2.cells.nuclei.star_contours import FAST_MATH, centroid_offsets, polygon_areas
from qupath_her2.cells.stain_planes import Plane, Planes
from qupath_her2.setting_ranges import Density, Range, check_order, check_settings

__all__ = ["N_ANGLES", "ContourSettings", "outline_seeds"]

#: Number of directions of a nuclear contour.
N_ANGLES = 32

#: Side of a block of seeds that are searched together, px.
_BLOCK_PX = 384


@dataclass(frozen=True, slots=True)
class ContourSettings:
    """Search range and weights of a nuclear contour.

    Attributes
    ----------
    min_radius_um, max_radius_um, radius_step_um
        Radii tried.
    small_radius_um
        Seeds whose contour extends beyond this radius are outlined again with radii up to it: among crowded nuclei the
        best contour of a wide search encloses several of them.
    edge_reach_um
        The fall of evidence is measured from this far inside the contour to this far outside.
    region_weight
        Weight of the evidence accumulated inside, relative to the edge.
    region_limit_od
        Cap of the accumulated evidence, so that one dark clump does not outweigh the rest of the contour.
    crossing_weight
        Weight of DAB ridges inside a contour, which count against it.
    ridge_noise_od
        Ridges below this are noise and not counted.
    edge_growth
        Edges are weighted by ``(radius / 4 µm) ** edge_growth``.
    step_price_od
        Price of changing the radius by one step between neighbouring angles.
    min_edge_od
        Mean fall of evidence required of a nucleus in any image: the noise floor of a scanner.
    """

    # Nuclei of lymphocytes have radii of 3 µm, those of giant tumour cells up to 25.
    min_radius_um: Annotated[float, Range(0.25, 10, "µm")] = 1.125
    max_radius_um: Annotated[float, Range(1, 50, "µm")] = 7.5
    small_radius_um: Annotated[float, Range(0.5, 50, "µm")] = 3.375
    radius_step_um: Annotated[float, Range(0.1, 2, "µm")] = 0.375
    edge_reach_um: Annotated[float, Range(0.1, 5, "µm")] = 0.75
    region_weight: Annotated[float, Range(0, 10)] = 0.8
    region_limit_od: Density = 0.035
    crossing_weight: Annotated[float, Range(0, 10)] = 1.0
    ridge_noise_od: Density = 0.02
    edge_growth: Annotated[float, Range(0, 3)] = 0.7
    step_price_od: Density = 0.004
    min_edge_od: Density = 0.012

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "min_radius_um", "small_radius_um", "max_radius_um")


class _Search(NamedTuple):
    """Settings of one search in pixels; each radius and weight is there `TOGETHER` times."""

    radii: NDArray[np.float32]
    edge_weight: NDArray[np.float32]
    #: Samples of `edge_reach_um`.
    pad: int
    region_weight: float
    step_price: float


class _LaidOut(NamedTuple):
    """What lies around a block of seeds, laid out apart: it stays in the processor's cache, where planes do not."""

    #: Of contours and of lying inside, float32 (H, W, 2).
    evidence: NDArray[np.float32]
    #: Haematoxylin and all DAB, float32 (H, W, 2).
    stains: NDArray[np.float32]
    ridge: Plane
    #: Corner of the box and last pixel of the tile, x, y, pixels of the tile.
    corner: NDArray[np.float64]
    last: NDArray[np.float64]
    um_px: float


class _Found(NamedTuple):
    """Contour of each seed after one search: whether there is one, and the columns of `Candidates`."""

    exists: NDArray[np.bool_]
    centre: NDArray[np.float64]
    radii: NDArray[np.float32]
    edge: NDArray[np.float32]
    #: Mean evidence and valley.
    within: NDArray[np.float32]
    stains: NDArray[np.float32]


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _fill_gain(
    profile: NDArray[np.float32],
    within: NDArray[np.float32],
    search: _Search,
    gain: NDArray[np.float32],
    inward: NDArray[np.float32],
) -> None:
    """Fill the `gain` of one direction, (R * TOGETHER), and the evidence gathered `inward` of each radius.

    The seeds lie side by side: one loop over radii and seeds is vectorised. `profile` and `within` hold the evidence of
    contours and of lying inside, from `pad` samples before the first radius to `pad` samples after the last; `inward`
    begins with a 0 for each seed.
    """
    weight, outside = np.float32(search.region_weight), profile[2 * search.pad * TOGETHER :]
    radii, edge_weight = search.radii, search.edge_weight
    here = within[search.pad * TOGETHER :]
    for k in range(len(gain)):
        # Polar integral: the area of an annulus grows with its radius.
        inward[k + TOGETHER] = inward[k] + here[k] * radii[k]
    for k in range(len(gain)):
        gain[k] = weight * inward[k + TOGETHER] + (profile[k] - outside[k]) * edge_weight[k]


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _fill_valleys(
    profile: NDArray[np.float32],
    pad: int,
    extremes: tuple[NDArray[np.float32], NDArray[np.float32]],
    valleys: NDArray[np.float32],
) -> None:
    """Fill the depth of the deepest valley up to each radius of one direction; the profile is that of `_fill_gain`.

    A valley is a dip of evidence on the way outwards, followed by a rise: a gap between two nuclei that one contour
    would join. Vesicular nuclei have shallow ones, so its depth is a feature and no veto. `extremes` is work space, the
    lowest and the highest evidence before each radius; `valleys` begins with a 0 for each seed.
    """
    lowest, highest = extremes
    for lane in range(TOGETHER):
        lowest[lane] = highest[lane] = profile[lane]
    outwards = profile[pad * TOGETHER :]
    for k in range(len(valleys) - TOGETHER):
        here, low, high = outwards[k], min(lowest[k], outwards[k]), highest[k]
        valleys[k + TOGETHER] = max(valleys[k], min(here, high) - low)
        lowest[k + TOGETHER] = here if here > high else low
        highest[k + TOGETHER] = max(high, here)


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _trace(
    pairs: NDArray[np.float32], centres: NDArray[np.float64], search: _Search, n_angles: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the radii and edges of a contour around each centre, (N, A), and its mean evidence and valley, (N, 2).

    `pairs` (H, W, 2) hold the evidence of contours and of lying inside. Valleys are measured in all `N_ANGLES`
    directions only. `search` holds each radius and weight
    `TOGETHER` times.
    """
    radii, pad = search.radii, search.pad
    n, size = len(centres), len(radii)
    found, edge = np.empty((n, n_angles), np.float32), np.empty((n, n_angles), np.float32)
    within, step = np.empty((n, 2), np.float32), radii[TOGETHER] - radii[0]
    distances = np.empty(size // TOGETHER + 2 * pad, np.float32)
    for k in range(len(distances)):
        distances[k] = radii[0] + (k - pad) * step
    offsets, samples = ray_offsets(distances, n_angles), n_angles * len(distances)
    index, u, v = np.empty(samples, np.int32), np.empty(samples, np.float32), np.empty(samples, np.float32)
    # Work space of the seeds side by side; lanes without a seed of their own are searched, too.
    profile = np.zeros((n_angles, len(distances) * TOGETHER), np.float32)
    inside = np.zeros((n_angles, len(distances) * TOGETHER), np.float32)
    gain = np.empty((n_angles, size), np.float32)
    inward, valleys = (
        np.zeros((n_angles, size + TOGETHER), np.float32),
        np.zeros((n_angles, size + TOGETHER), np.float32),
    )
    extremes = np.empty(size + TOGETHER, np.float32), np.empty(size + TOGETHER, np.float32)
    best, paths = work_space(n_angles, size // TOGETHER), np.empty((TOGETHER, n_angles), np.int64)
    for first in range(0, n, TOGETHER):
        together = min(TOGETHER, n - first)
        for lane in range(together):
            centre = (centres[first + lane, 0], centres[first + lane, 1])
            place_samples(pairs.shape[:2], centre, offsets, index, u, v)
            values = profile.reshape(-1)[lane::TOGETHER], inside.reshape(-1)[lane::TOGETHER]
            read_pairs(pairs.reshape(-1), pairs.shape[1], index, u, v, *values)
        for a in range(n_angles):
            _fill_gain(profile[a], inside[a], search, gain[a], inward[a])
            if n_angles == N_ANGLES:
                _fill_valleys(profile[a], pad, extremes, valleys[a])
        # With half the directions neighbours are twice as far apart, so the radius may change twice as much.
        closed_paths(gain, search.step_price, N_ANGLES // n_angles, best, paths)
        for lane in range(together):
            # Mean evidence per area: large nuclei must not rate higher for their size alone.
            k, gathered, area, valley = first + lane, 0.0, 0.0, 0.0
            for a in range(n_angles):
                at = paths[lane, a] * TOGETHER + lane
                found[k, a] = radii[at]
                edge[k, a] = profile[a, at] - profile[a, at + 2 * pad * TOGETHER]
                gathered += inward[a, at + TOGETHER]
                area += radii[at] ** 2 / 2
                valley += valleys[a, at + TOGETHER]
            within[k, 0], within[k, 1] = gathered * step / area, valley / n_angles
    return found, edge, within


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _fill_pairs(
    planes: tuple[Plane, Plane, Plane, Plane, Plane],
    corner: tuple[int, int],
    limits: NDArray[np.float32],
    evidence: NDArray[np.float32],
    stains: NDArray[np.float32],
) -> None:
    """Fill the evidence of contours and of lying inside, and the stains, each (H, W, 2), of a box of the planes.

    A membrane in a nucleus means that a contour joins two nuclei. `limits` are the cap of the evidence, the weight of
    a ridge that is crossed, and its noise.
    """
    nuclear, contrast, ridges, hematoxylin, dab = planes
    cap, weight, noise = limits[0], limits[1], limits[2]
    row = slice(corner[0], corner[0] + evidence.shape[1])
    for k in range(len(evidence)):
        y, here, stain = corner[1] + k, evidence[k], stains[k]
        one, two, ridge, h, d = (
            nuclear[y, row],
            contrast[y, row],
            ridges[y, row],
            hematoxylin[y, row],
            dab[y, row],
        )
        for x in range(len(here)):
            here[x, 0], stain[x, 0], stain[x, 1] = one[x], h[x], d[x]
            # Capped on both sides: neither a dark clump nor a strong DAB ring may decide alone.
            limited = min(max(two[x], -cap), cap)
            here[x, 1] = limited - weight * max(ridge[x] - noise, np.float32(0))


def _lay_out(
    planes: Planes,
    places: NDArray[np.float64],
    margin: int,
    limits: NDArray[np.float32],
    room: NDArray[np.float32],
) -> _LaidOut:
    """Lay out what lies up to `margin` pixels around some places; `limits` are those of `_fill_pairs`.

    `room` (3, values) is for all three, the same for all blocks: touching new memory takes longer than filling it.
    """
    height, width = planes.nuclear.shape
    left, top = (max(int(v) - margin, 0) for v in places.min(0))
    right, bottom = (min(int(v) + margin, n) for v, n in zip(places.max(0), (width, height), strict=True))
    shape = bottom - top, right - left, 2
    evidence, stains = (part[: math.prod(shape)].reshape(shape) for part in room[:2])
    p = planes
    parts = (p.nuclear, p.nuclear_contrast, p.ridge, p.hematoxylin, p.all_dab)
    _fill_pairs(parts, (left, top), limits, evidence, stains)
    ridge = room[2, : shape[0] * shape[1]].reshape(shape[:2])
    ridge[:] = p.ridge[top:bottom, left:right]
    corner, last = np.array([left, top], np.float64), np.array([width - 1, height - 1], np.float64)
    return _LaidOut(evidence, stains, ridge, corner, last, p.um_px)


def _outline(
    laid_out: _LaidOut,
    start: NDArray[np.float64],
    rows: NDArray[np.int64],
    search: _Search,
    least_edge_od: float,
    found: _Found,
) -> None:
    """Outline the seeds `rows` of those at `start` twice, and enter their contours into `found`."""
    # A first pass with half the directions is enough to find the centre, and to discard seeds without any edge.
    radii, edge, _ = _trace(laid_out.evidence, start[rows] - laid_out.corner, search, N_ANGLES // 2)
    # Half the final limit, since the seed may still be off centre.
    hopeful = edge.mean(1) >= least_edge_od / 2
    rows, radii = rows[hopeful], radii[hopeful]
    # Sixteenths of a pixel are exact in floating point wherever the tile begins, so every tile gets the same centre.
    moved = np.round((start[rows] + centroid_offsets(radii)) * 16) / 16
    centres = np.clip(moved, 0, laid_out.last)
    here = centres - laid_out.corner
    found.exists[rows], found.centre[rows] = True, centres
    found.radii[rows], found.edge[rows], found.within[rows] = _trace(
        laid_out.evidence, here, search, N_ANGLES
    )
    stains, ridge = laid_out.stains, laid_out.ridge
    found.stains[rows] = read_stains(stains, ridge, here, found.radii[rows], laid_out.um_px)


def _search(s: ContourSettings, um_px: float, max_radius_um: float) -> _Search:
    """Return the settings of a search in pixels."""
    steps = round((max_radius_um - s.min_radius_um) / s.radius_step_um) + 1
    radii_um = s.min_radius_um + s.radius_step_um * np.arange(steps)
    return _Search(
        np.repeat((radii_um / um_px).astype(np.float32), TOGETHER),
        np.repeat(((radii_um / 4.0) ** s.edge_growth).astype(np.float32), TOGETHER),
        max(1, round(s.edge_reach_um / s.radius_step_um)),
        # Samples inside are a step of radius apart.
        s.region_weight / (max_radius_um / um_px) * s.radius_step_um / um_px,
        s.step_price_od,
    )


def _candidates(found: _Found, um_px: float) -> Candidates:
    """Return the contours found, in the order of their seeds."""
    there = found.exists
    radii, within, read = found.radii[there], found.within[there], found.stains[there]
    area_um2 = polygon_areas(radii) * np.float32(um_px**2)
    inner = np.concatenate([read[:, 4:7], within[:, :1]], 1)
    return Candidates(
        found.centre[there], radii, found.edge[there], read[:, :2], read[:, 2:4], area_um2, inner,
        within[:, 1], read[:, 7:],
    )  # fmt: skip


def _nothing_found(n: int) -> _Found:
    """Return room for the contours of `n` seeds."""
    columns = (np.empty((n, k), np.float32) for k in (N_ANGLES, N_ANGLES, 2, N_STAIN_READINGS))
    return _Found(np.zeros(n, np.bool_), np.empty((n, 2)), *columns)


def outline_seeds(
    planes: Planes, seeds: NDArray[np.float32], settings: ContourSettings | None = None
) -> Candidates:
    """Outline every seed, move it to the centroid of its contour and outline it again.

    Parameters
    ----------
    planes
        Stain planes of the tile.
    seeds
        float32 (N, 2), x, y in pixels of the tile.
    settings
        Ranges and weights.

    Returns
    -------
    Candidates
        Contours of the wide search, then those of the small search for seeds whose wide contour is larger, each in the
        order of the seeds. Seeds without an edge around them have none.
    """
    s = settings or ContourSettings()
    start, um_px, n = seeds.astype(np.float64), planes.um_px, len(seeds)
    found = _nothing_found(n), _nothing_found(n)
    wide, small = (_search(s, um_px, largest) for largest in (s.max_radius_um, s.small_radius_um))
    limits = np.array([s.region_limit_od, s.crossing_weight, s.ridge_noise_od], np.float32)
    # Seeds move by at most two thirds of the largest radius, and stains are read beside the contour.
    margin = int(wide.radii[-1] * 5 / 3 + 5 / um_px) + wide.pad + 3
    if n == 0:
        return join_candidates([_candidates(one, um_px) for one in found])
    room = np.empty((3, 2 * (_BLOCK_PX + 2 * margin + 1) ** 2), np.float32)
    order, first, _ = sort_into_bins(start, _BLOCK_PX)
    for rows in np.split(order, first[1:-1]):
        if len(rows) == 0:
            continue
        laid_out = _lay_out(planes, start[rows], margin, limits, room)
        _outline(laid_out, start, rows, wide, s.min_edge_od, found[0])
        # For smaller contours the small search would only find the same again.
        there = rows[found[0].exists[rows]]
        large = there[found[0].radii[there].max(1) * um_px > s.small_radius_um]
        _outline(laid_out, start, large, small, s.min_edge_od, found[1])
    return join_candidates([_candidates(one, um_px) for one in found])
