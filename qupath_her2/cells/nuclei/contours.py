"""Nuclear contours: the closed contour around a seed across which the nuclear evidence falls most.

Edges alone would let a nucleolus win over its nucleus, and region evidence alone would fill a dark cytoplasm. The gain
of a radius adds both: the fall of evidence across it, weighted up with the radius, and the evidence accumulated
inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.candidates import Candidates, join_candidates, stains_inside_and_around
from qupath_her2.cells.nuclei.closed_path import MAX_STEP, closed_path
from qupath_her2.cells.nuclei.rays import place_rays, read_rays, start_rays
from qupath_her2.cells.nuclei.star_contours import FAST_MATH, centroid_offsets, polygon_areas
from qupath_her2.cells.stain_planes import Plane, Planes
from qupath_her2.setting_ranges import Density, Range, check_order, check_settings

__all__ = ["N_ANGLES", "ContourSettings", "outline_seeds"]

#: Number of directions of a nuclear contour.
N_ANGLES = 32


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


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _fill_gain(
    profile: NDArray[np.float32],
    within: NDArray[np.float32],
    radii: NDArray[np.float32],
    pad: int,
    edge_weight: NDArray[np.float32],
    region_weight: float,
    edges: NDArray[np.float32],
    gain: NDArray[np.float32],
    inward: NDArray[np.float32],
    valleys: NDArray[np.float32],
    running: NDArray[np.float32],
) -> None:
    """Fill the polar images of one seed: `gain` (A, R), its parts `edges` and `inward`, and the depth of `valleys`.

    All others are (R, A): angles lie side by side, so that each step outwards is one vector operation. `profile` and
    `within` hold the evidence of contours and of lying inside, from `pad` samples before the first radius to `pad`
    samples after the last; `running` is work space, (4, A).
    """
    n_radii, n_angles = edges.shape
    step, weight = radii[1] - radii[0], np.float32(region_weight)
    gathered, lowest, highest, valley = running[0], running[1], running[2], running[3]
    for a in range(n_angles):
        gathered[a], valley[a] = 0, 0
        lowest[a] = highest[a] = profile[0, a]
    for r in range(n_radii):
        # Polar integral: the area of an annulus grows with its radius.
        annulus, weight_here = radii[r] * step, edge_weight[r]
        for a in range(n_angles):
            gathered[a] += within[r + pad, a] * annulus
            inward[r, a] = gathered[a]
            edges[r, a] = profile[r, a] - profile[r + 2 * pad, a]
        # A valley is a dip of evidence on the way outwards, followed by a rise: a gap between two nuclei that one
        # contour would join. Vesicular nuclei have shallow ones, so its depth is a feature and no veto.
        for a in range(n_angles):
            here = profile[r + pad, a]
            low = min(lowest[a], here)
            valley[a] = max(valley[a], min(here, highest[a]) - low)
            lowest[a] = here if here > highest[a] else low
            highest[a] = max(highest[a], here)
            valleys[r, a] = valley[a]
        for a in range(n_angles):
            gain[a, r] = weight * inward[r, a] + edges[r, a] * weight_here


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _contours(
    nuclear: Plane,
    contrast: Plane,
    centres: NDArray[np.float64],
    radii: NDArray[np.float32],
    pad: int,
    edge_weight: NDArray[np.float32],
    region_weight: float,
    step_price: float,
    max_step: int,
    n_angles: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the radii and edges of each contour, (N, A), and its mean evidence and valley depth, (N, 2)."""
    n, n_radii = len(centres), len(radii)
    # Several seeds side by side where one has few angles: loops shorter than this are not vectorised.
    together = max(N_ANGLES // n_angles, 1)
    columns = together * n_angles
    samples, polar = (n_radii + 2 * pad, columns), (n_radii, columns)
    found, edge = np.empty((n, n_angles), np.float32), np.empty((n, n_angles), np.float32)
    within = np.empty((n, 2), np.float32)
    # Work space shared by all seeds.
    inward, valleys, edges = (
        np.empty(polar, np.float32),
        np.empty(polar, np.float32),
        np.empty(polar, np.float32),
    )
    profile, inside, index = (
        np.empty(samples, np.float32),
        np.empty(samples, np.float32),
        np.empty(samples, np.int32),
    )
    u, v = np.empty(samples, np.float32), np.empty(samples, np.float32)
    whole, part = np.empty((2, columns), np.int32), np.empty((2, columns), np.float32)
    running = np.empty((4, columns), np.float32)
    gain = np.empty((columns, n_radii), np.float32)
    best = np.empty((n_angles + 1, n_radii + 2 * MAX_STEP), np.float32)
    back = np.empty((n_angles + 1, n_radii), np.int32)
    path = np.empty(n_angles, np.int32)
    step = radii[1] - radii[0]
    distance = (radii[0] - pad * step, step)
    flat_nuclear, flat_contrast, width = nuclear.reshape(-1), contrast.reshape(-1), nuclear.shape[1]
    angle = 2 * math.pi * (np.arange(columns) % n_angles) / n_angles
    cosine, sine = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    for first in range(0, n, together):
        for j in range(together):
            # The last group is filled up with the last seed.
            seed = min(first + j, n - 1)
            start_rays((centres[seed, 0], centres[seed, 1]), j * n_angles, (j + 1) * n_angles, whole, part)
        place_rays(nuclear.shape, whole, part, cosine, sine, distance, index, u, v)
        read_rays(flat_nuclear, width, index, u, v, profile)
        read_rays(flat_contrast, width, index, u, v, inside)
        _fill_gain(
            profile, inside, radii, pad, edge_weight, region_weight, edges, gain, inward, valleys, running
        )
        for k in range(first, min(first + together, n)):
            column = (k - first) * n_angles
            closed_path(gain[column : column + n_angles], step_price, max_step, best, back, path)
            # Mean evidence per area: large nuclei must not rate higher for their size alone.
            gathered, area, valley = 0.0, 0.0, 0.0
            for a in range(n_angles):
                r = path[a]
                found[k, a] = radii[r]
                edge[k, a] = edges[r, column + a]
                gathered += inward[r, column + a]
                area += radii[r] ** 2 / 2
                valley += valleys[r, column + a]
            within[k, 0] = gathered / area
            within[k, 1] = valley / n_angles
    return found, edge, within


def _region_evidence(planes: Planes, s: ContourSettings) -> Plane:
    """Return the evidence of lying inside a nucleus; a membrane in it means that a contour joins two nuclei."""
    # Capped on both sides: neither a dark clump nor a strong DAB ring may decide alone.
    limited = np.clip(planes.nuclear_contrast, -s.region_limit_od, s.region_limit_od)
    crossed = np.maximum(planes.ridge - np.float32(s.ridge_noise_od), 0)
    evidence: Plane = limited - np.float32(s.crossing_weight) * crossed
    return evidence


def _trace(
    planes: Planes,
    evidence: Plane,
    centres: NDArray[np.float64],
    s: ContourSettings,
    max_radius_um: float,
    n_angles: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Trace a contour around every centre with settings in pixels; returns as `_contours`."""
    um_px = planes.um_px
    steps = round((max_radius_um - s.min_radius_um) / s.radius_step_um) + 1
    radii_um = s.min_radius_um + s.radius_step_um * np.arange(steps)
    traced: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] = _contours(
        planes.nuclear,
        evidence,
        centres,
        (radii_um / um_px).astype(np.float32),
        max(1, round(s.edge_reach_um / s.radius_step_um)),
        ((radii_um / 4.0) ** s.edge_growth).astype(np.float32),
        s.region_weight / (max_radius_um / um_px),
        s.step_price_od,
        # With half the directions neighbours are twice as far apart, so the radius may change twice as much.
        N_ANGLES // n_angles,
        n_angles,
    )
    return traced


def _outline(
    planes: Planes, evidence: Plane, start: NDArray[np.float64], s: ContourSettings, max_radius_um: float
) -> tuple[Candidates, NDArray[np.float64]]:
    """Outline the seeds at `start`; also return the starts of those that have a contour."""
    height, width = planes.nuclear.shape
    # A first pass with half the directions is enough to find the centre, and to discard seeds without any edge.
    radii, edge, _ = _trace(planes, evidence, start, s, max_radius_um, N_ANGLES // 2)
    # Half the final limit, since the seed may still be off centre.
    hopeful = edge.mean(1) >= s.min_edge_od / 2
    start, radii = start[hopeful], radii[hopeful]
    # Sixteenths of a pixel are exact in floating point wherever the tile begins, so every tile gets the same centre.
    moved = np.round((start + centroid_offsets(radii)) * 16) / 16
    centres = np.clip(moved, 0, np.array([width - 1, height - 1]))
    radii, edge, within = _trace(planes, evidence, centres, s, max_radius_um, N_ANGLES)
    area_um2 = polygon_areas(radii) * np.float32(planes.um_px**2)
    read = stains_inside_and_around(planes, centres, radii)
    inner = np.concatenate([read[:, 4:7], within[:, :1]], 1)
    found = Candidates(
        centres, radii, edge, read[:, :2], read[:, 2:4], area_um2, inner, within[:, 1], read[:, 7:]
    )
    return found, start


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
    start = seeds.astype(np.float64)
    evidence = _region_evidence(planes, s)
    wide, start = _outline(planes, evidence, start, s, s.max_radius_um)
    # For smaller contours the small search would only find the same again.
    large = wide.radii.max(1) * planes.um_px > s.small_radius_um
    small, _ = _outline(planes, evidence, start[large], s, s.small_radius_um)
    return join_candidates([wide, small])
