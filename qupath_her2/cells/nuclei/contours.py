"""Nuclear outlines: the closed contour round a seed where the nuclear evidence falls most.

Edges alone would let a nucleolus win over its nucleus, a region alone would fill a dark cytoplasm; the gain of a
radius adds both: the fall of evidence across it, growing with radius, and the evidence gathered inside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.candidates import Candidates, join_candidates, stains_inside_and_around
from qupath_her2.cells.nuclei.star_contours import (
    FAST_MATH,
    bilinear_pair,
    centroid_offsets,
    closed_path,
    polygon_areas,
)
from qupath_her2.cells.stain_planes import Plane, Planes

__all__ = ["N_ANGLES", "ContourSettings", "outline_seeds"]

#: Directions of a nuclear contour.
N_ANGLES = 32


@dataclass(frozen=True, slots=True)
class ContourSettings:
    """Search range and weights of a nuclear contour.

    Attributes
    ----------
    min_radius_um, max_radius_um, radius_step_um
        Radii tried.
    small_radius_um
        Where a contour reaches farther than this, its seed is outlined again with radii up to it: where
        nuclei crowd, the best contour of a wide search runs round several of them.
    edge_reach_um
        The fall of evidence is taken from this far inside to this far outside.
    region_weight
        Weight of the evidence gathered inside, against the edge.
    region_limit_od
        Evidence is limited to this when gathered, so that one dark clump does not pay for the rest.
    crossing_weight
        DAB ridge inside counts against a contour with this weight, above `ridge_noise_od`.
    edge_growth
        Edges count ``(radius / 4 µm) ** edge_growth``.
    step_price_od
        Price of a change of radius by one step between neighbouring angles.
    min_edge_od
        Mean fall of evidence that a nucleus must show whatever its image: the noise floor of a scanner.
    """

    min_radius_um: float = 1.125
    max_radius_um: float = 7.5
    small_radius_um: float = 3.375
    radius_step_um: float = 0.375
    edge_reach_um: float = 0.75
    region_weight: float = 0.8
    region_limit_od: float = 0.035
    crossing_weight: float = 1.0
    ridge_noise_od: float = 0.02
    edge_growth: float = 0.7
    step_price_od: float = 0.004
    min_edge_od: float = 0.012


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _fill_gain(
    nuclear: Plane,
    contrast: Plane,
    x: float,
    y: float,
    radii: NDArray[np.float32],
    pad: int,
    cosine: NDArray[np.float32],
    sine: NDArray[np.float32],
    edge_weight: NDArray[np.float32],
    region_weight: float,
    reach: float,
    edges: NDArray[np.float32],
    gain: NDArray[np.float32],
    profile: NDArray[np.float32],
    inward: NDArray[np.float32],
    valleys: NDArray[np.float32],
) -> None:
    n_radii = len(radii)
    step = radii[1] - radii[0]
    for a in range(len(cosine)):
        gathered = 0.0
        for k in range(n_radii + 2 * pad):
            r = k - pad
            radius = radii[0] + r * step
            profile[k], inside = bilinear_pair(
                nuclear, contrast, x + radius * cosine[a], y + radius * sine[a]
            )
            if 0 <= r < n_radii:
                gathered += inside * radius * step
                inward[a, r] = gathered
        lowest, highest, valley = profile[0], profile[0], np.float32(0.0)
        for r in range(n_radii):
            gain[a, r] = region_weight * inward[a, r] / reach
            edges[a, r] = profile[r] - profile[r + 2 * pad]
            here = profile[r + pad]
            lowest = min(lowest, here)
            valley = max(valley, min(here, highest) - lowest)
            if here > highest:
                highest, lowest = here, here
            valleys[a, r] = valley
            gain[a, r] += edges[a, r] * edge_weight[r]


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _contours(
    nuclear: Plane,
    contrast: Plane,
    centres: NDArray[np.float64],
    radii: NDArray[np.float32],
    pad: int,
    edge_weight: NDArray[np.float32],
    region_weight: float,
    reach: float,
    step_price: float,
    max_step: int,
    n_angles: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    n, n_radii = len(centres), len(radii)
    within = np.empty((n, 2), np.float32)
    inward = np.empty((n_angles, n_radii), np.float32)
    valleys = np.empty((n_angles, n_radii), np.float32)
    found = np.empty((n, n_angles), np.float32)
    edge = np.empty((n, n_angles), np.float32)
    edges = np.empty((n_angles, n_radii), np.float32)
    gain = np.empty((n_angles, n_radii), np.float32)
    profile = np.empty(n_radii + 2 * pad, np.float32)
    best = np.empty((n_angles + n_angles // 2, n_radii), np.float32)
    back = np.empty((n_angles + n_angles // 2, n_radii), np.int32)
    path = np.empty(n_angles, np.int32)
    angle = 2 * math.pi * np.arange(n_angles) / n_angles
    cosine, sine = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    for k in range(n):
        x, y = centres[k, 0], centres[k, 1]
        _fill_gain(
            nuclear, contrast, x, y, radii, pad, cosine, sine,
            edge_weight, region_weight, reach, edges, gain, profile, inward, valleys,
        )  # fmt: skip
        closed_path(gain, step_price, max_step, best, back, path)
        gathered, area, valley = 0.0, 0.0, 0.0
        for a in range(n_angles):
            r = path[a]
            found[k, a] = radii[r]
            edge[k, a] = edges[a, r]
            gathered += inward[a, r]
            area += radii[r] ** 2 / 2
            valley += valleys[a, r]
        within[k, 0] = gathered / area
        within[k, 1] = valley / n_angles
    return found, edge, within


def _region_evidence(planes: Planes, s: ContourSettings) -> Plane:
    """Evidence that a place lies inside a nucleus; a membrane across it says that two nuclei share the contour."""
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
        s.region_weight,
        max_radius_um / um_px,
        s.step_price_od,
        N_ANGLES // n_angles,
        n_angles,
    )
    return traced


def _outline(
    planes: Planes, evidence: Plane, start: NDArray[np.float64], s: ContourSettings, max_radius_um: float
) -> tuple[Candidates, NDArray[np.float64]]:
    """Outline seeds that stand at `start`; also return the starts of those that have a contour."""
    height, width = planes.nuclear.shape
    # Half the directions are enough to find the middle, and to see that nothing falls there at all.
    radii, edge, _ = _trace(planes, evidence, start, s, max_radius_um, N_ANGLES // 2)
    hopeful = edge.mean(1) >= s.min_edge_od / 2
    start, radii = start[hopeful], radii[hopeful]
    # Sixteenths of a pixel are exact wherever the tile begins, so that every tile sees the same centre.
    moved = np.round((start + centroid_offsets(radii)) * 16) / 16
    centres = np.clip(moved, 0, np.array([width - 1, height - 1]))
    radii, edge, within = _trace(planes, evidence, centres, s, max_radius_um, N_ANGLES)
    area_um2 = polygon_areas(radii) * np.float32(planes.um_px**2)
    read = stains_inside_and_around(planes, centres, radii)
    inner = np.concatenate([read[:, 4:], within[:, :1]], 1)
    found = Candidates(centres, radii, edge, read[:, :2], read[:, 2:4], area_um2, inner, within[:, 1])
    return found, start


def outline_seeds(
    planes: Planes, seeds: NDArray[np.float32], settings: ContourSettings | None = None
) -> Candidates:
    """Outline every seed, move it to the middle of its contour and outline it again; once wide, once small.

    Parameters
    ----------
    planes
        Of the tile.
    seeds
        float32 (N, 2), x, y in pixels of the tile.
    settings
        Ranges and weights.

    Returns
    -------
    Candidates
        The contours of the wide search, then those of the small one where the wide one went farther, each in
        the order of
        the seeds; seeds round which nothing falls have none.
    """
    s = settings or ContourSettings()
    start = seeds.astype(np.float64)
    evidence = _region_evidence(planes, s)
    wide, start = _outline(planes, evidence, start, s, s.max_radius_um)
    # A contour that a small search could reach would be found again.
    large = wide.radii.max(1) * planes.um_px > s.small_radius_um
    small, _ = _outline(planes, evidence, start[large], s, s.small_radius_um)
    return join_candidates([wide, small])
