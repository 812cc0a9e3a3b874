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

from qupath_her2.cells.planes import Plane, Planes
from qupath_her2.cells.polar import (
    FAST_MATH,
    bilinear,
    bilinear_pair,
    centroid_offsets,
    closed_path,
    polygon_areas,
)

__all__ = ["N_ANGLES", "Candidates", "ContourSettings", "outline_seeds"]

#: Directions of a nuclear contour.
N_ANGLES = 32


@dataclass(frozen=True, slots=True)
class ContourSettings:
    """Search range and weights of a nuclear contour.

    Attributes
    ----------
    min_radius_um, max_radius_um, radius_step_um : radii tried.
    edge_reach_um : the fall of evidence is taken from this far inside to this far outside.
    region_weight : weight of the evidence gathered inside, against the edge.
    region_limit_od : evidence is limited to this when gathered, so that one dark clump does not pay for the rest.
    crossing_weight : DAB ridge inside counts against a contour with this weight, above `ridge_noise_od`.
    edge_growth : edges count ``(radius / 4 µm) ** edge_growth``.
    step_price_od : price of a change of radius by one step between neighbouring angles.
    min_edge_od : mean fall of evidence that a nucleus must show whatever its image: the noise floor of a scanner.
    """

    min_radius_um: float = 1.125
    max_radius_um: float = 7.5
    radius_step_um: float = 0.375
    edge_reach_um: float = 0.75
    region_weight: float = 0.8
    region_limit_od: float = 0.035
    crossing_weight: float = 1.0
    ridge_noise_od: float = 0.02
    edge_growth: float = 0.7
    step_price_od: float = 0.004
    min_edge_od: float = 0.012


@dataclass(frozen=True, slots=True)
class Candidates:
    """N outlined seeds, as columns.

    `centre` float64 (N, 2) px; `radii` float32 (N, 32) px; `edge` float32 (N, 32) fall of evidence at the contour,
    OD; `hematoxylin`, `dab` float32 (N, 2): mean inside, and in a ring 0.75 to 1.5 µm outside, OD;
    `area_um2` float32 (N).
    """

    centre: NDArray[np.float64]
    radii: NDArray[np.float32]
    edge: NDArray[np.float32]
    hematoxylin: NDArray[np.float32]
    dab: NDArray[np.float32]
    area_um2: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.centre)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Candidates:
        """Return the chosen candidates.

        Parameters
        ----------
        chosen : bool (N), or places to take, in that order.
        """
        return Candidates(*(getattr(self, name)[chosen] for name in self.__slots__))


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
    edges: NDArray[np.float32],
    gain: NDArray[np.float32],
    profile: NDArray[np.float32],
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
                gain[a, r] = region_weight * gathered / radii[n_radii - 1]
        for r in range(n_radii):
            edges[a, r] = profile[r] - profile[r + 2 * pad]
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
    step_price: float,
    max_step: int,
    n_angles: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    n, n_radii = len(centres), len(radii)
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
            edge_weight, region_weight, edges, gain, profile,
        )  # fmt: skip
        closed_path(gain, step_price, max_step, best, back, path)
        for a in range(n_angles):
            found[k, a] = radii[path[a]]
            edge[k, a] = edges[a, path[a]]
    return found, edge


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _inside_outside(
    plane: Plane, centres: NDArray[np.float64], radii: NDArray[np.float32], near_px: float, far_px: float
) -> NDArray[np.float32]:
    n, n_angles = radii.shape
    means = np.empty((n, 2), np.float32)
    for k in range(n):
        inside, outside, weight = 0.0, 0.0, 0.0
        for a in range(0, n_angles, 2):
            cosine = math.cos(2 * math.pi * a / n_angles)
            sine = math.sin(2 * math.pi * a / n_angles)
            x, y, radius = centres[k, 0], centres[k, 1], radii[k, a]
            # A share f of the radius stands for an area that grows with f.
            for f in (0.3, 0.6, 0.85):
                inside += f * bilinear(plane, x + f * radius * cosine, y + f * radius * sine)
                weight += f
            for beyond in (near_px, far_px):
                outside += bilinear(plane, x + (radius + beyond) * cosine, y + (radius + beyond) * sine)
        means[k, 0] = inside / weight
        means[k, 1] = outside / n_angles
    return means


def _region_evidence(planes: Planes, s: ContourSettings) -> Plane:
    """Evidence that a place lies inside a nucleus; a membrane across it says that two nuclei share the contour."""
    limited = np.clip(planes.nuclear_contrast, -s.region_limit_od, s.region_limit_od)
    crossed = np.maximum(planes.ridge - np.float32(s.ridge_noise_od), 0)
    evidence: Plane = limited - np.float32(s.crossing_weight) * crossed
    return evidence


def _trace(
    planes: Planes, centres: NDArray[np.float64], s: ContourSettings, n_angles: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    um_px = planes.um_px
    steps = round((s.max_radius_um - s.min_radius_um) / s.radius_step_um) + 1
    radii_um = s.min_radius_um + s.radius_step_um * np.arange(steps)
    found, edge = _contours(
        planes.nuclear,
        _region_evidence(planes, s),
        centres,
        (radii_um / um_px).astype(np.float32),
        max(1, round(s.edge_reach_um / s.radius_step_um)),
        ((radii_um / 4.0) ** s.edge_growth).astype(np.float32),
        s.region_weight,
        s.step_price_od,
        N_ANGLES // n_angles,
        n_angles,
    )
    return found, edge


def outline_seeds(
    planes: Planes, seeds: NDArray[np.float32], settings: ContourSettings | None = None
) -> Candidates:
    """Outline every seed, move it to the middle of its contour and outline it again.

    Parameters
    ----------
    planes : of the tile.
    seeds : float32 (N, 2), x, y in pixels of the tile.
    settings : ranges and weights.
    """
    s = settings or ContourSettings()
    height, width = planes.nuclear.shape
    start = seeds.astype(np.float64)
    # Half the directions are enough to find the middle, and to see that nothing falls there at all.
    radii, edge = _trace(planes, start, s, N_ANGLES // 2)
    hopeful = edge.mean(1) >= s.min_edge_od / 2
    start, radii = start[hopeful], radii[hopeful]
    # Sixteenths of a pixel are exact wherever the tile begins, so that every tile sees the same centre.
    moved = np.round((start + centroid_offsets(radii)) * 16) / 16
    centres = np.clip(moved, 0, np.array([width - 1, height - 1]))
    radii, edge = _trace(planes, centres, s, N_ANGLES)
    near, far = 0.75 / planes.um_px, 1.5 / planes.um_px
    area_um2 = polygon_areas(radii) * np.float32(planes.um_px**2)
    hematoxylin = _inside_outside(planes.hematoxylin, centres, radii, near, far)
    dab = _inside_outside(planes.all_dab, centres, radii, near, far)
    return Candidates(centres, radii, edge, hematoxylin, dab, area_um2)
