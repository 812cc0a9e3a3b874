"""Nucleus candidates: outlined seeds and the features that tell nuclei from other dark, round objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.rivals import RIVAL_FEATURES, rival_features
from qupath_her2.cells.nuclei.star_contours import FAST_MATH, bilinear, bilinear_pair, polygon_areas
from qupath_her2.cells.stain_planes import Plane, Planes

__all__ = [
    "NUCLEUS_FEATURES",
    "Candidates",
    "mean_edge",
    "stains_inside_and_around",
    "join_candidates",
    "nucleus_features",
]

#: Columns of `nucleus_features`; stored with the trained trees and compared when they are loaded.
NUCLEUS_FEATURES = (
    "edge", "edge_q", "edge_min", "edge_share", "h", "h_step", "h_mid", "h_std", "dab", "dab_step", "ridge",
    "region", "valley", "area", "round", "elong", "rough", "h_far", "h_clear", "hue", "edge_od", "h_far_od",
    *RIVAL_FEATURES,
)  # fmt: skip

#: Haematoxylin below this says nothing about the hue of an outline, OD.
_HUE_FROM_OD = 0.03
#: Added to the haematoxylin noise around an outline, as a share of the image's clear nuclei: evenly stained
#: surroundings must not make a faint blob certain.
_CALM_SHARE = 0.3
#: Keeps the logarithm of an edge finite, OD.
_NO_EDGE_OD = 0.005

#: Cap of the fall of evidence in one direction: a strong DAB ring on one side must not make a poor contour a good one.
_EDGE_LIMIT_OD = 0.15


@dataclass(frozen=True, slots=True)
class Candidates:
    """N outlined seeds, as columns.

    Attributes
    ----------
    centre
        float64 (N, 2), x, y, pixels of the tile.
    radii
        float32 (N, 32), pixels.
    edge
        float32 (N, 32), fall of nuclear evidence across the contour, OD.
    hematoxylin, dab
        float32 (N, 2), mean inside, and in a ring 0.75 to 1.5 µm outside, OD.
    area_um2
        float32 (N), area of the contour.
    inner
        float32 (N, 4), OD: haematoxylin in the central third, its standard deviation inside, DAB ridge inside, and
        mean of the capped nuclear evidence inside.
    valley
        float32 (N), mean depth of the dips of nuclear evidence between centre and contour, OD.
    far
        float32 (N, 2), OD: mean haematoxylin 2.5 to 4 µm outside, and its standard deviation 1.5 to 4 µm outside.
    """

    centre: NDArray[np.float64]
    radii: NDArray[np.float32]
    edge: NDArray[np.float32]
    hematoxylin: NDArray[np.float32]
    dab: NDArray[np.float32]
    area_um2: NDArray[np.float32]
    inner: NDArray[np.float32]
    valley: NDArray[np.float32]
    far: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.centre)

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Candidates:
        """Return the chosen candidates.

        Parameters
        ----------
        chosen
            bool (N), or indices in the order wanted.

        Returns
        -------
        Candidates
            A copy.
        """
        return Candidates(*(getattr(self, name)[chosen] for name in self.__slots__))


def join_candidates(parts: Sequence[Candidates]) -> Candidates:
    """Concatenate candidates.

    Parameters
    ----------
    parts
        At least one.

    Returns
    -------
    Candidates
        All of them, in the order of `parts`.
    """
    return Candidates(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in Candidates.__slots__)
    )


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _readings(
    hematoxylin: Plane,
    dab: Plane,
    ridge: Plane,
    centres: NDArray[np.float64],
    radii: NDArray[np.float32],
    outside_px: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the columns of `stains_inside_and_around`; `outside_px` are four distances outside the contour."""
    n, n_angles = radii.shape
    means = np.empty((n, 9), np.float32)
    # Sum of the weights over all samples.
    weight = (0.3 + 0.6 + 0.85) * (n_angles // 2)
    for k in range(n):
        h_in, h_square, h_out, h_middle, d_in, d_out, line = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        h_far, h_ring, h_ring_square = 0.0, 0.0, 0.0
        # Every second direction: means need no finer sampling than that.
        for a in range(0, n_angles, 2):
            cosine = math.cos(2 * math.pi * a / n_angles)
            sine = math.sin(2 * math.pi * a / n_angles)
            x, y, radius = centres[k, 0], centres[k, 1], radii[k, a]
            # Three samples along the radius, weighted by f: the area they stand for grows with it.
            for f in (0.3, 0.6, 0.85):
                at_x, at_y = x + f * radius * cosine, y + f * radius * sine
                h, d = bilinear_pair(hematoxylin, dab, at_x, at_y)
                h_in += f * h
                h_square += f * h * h
                d_in += f * d
                if f == 0.3:
                    h_middle += h
                else:
                    line += f * bilinear(ridge, at_x, at_y)
            for k_out in range(4):
                out = radius + outside_px[k_out]
                at_x, at_y = x + out * cosine, y + out * sine
                if k_out < 2:
                    h, d = bilinear_pair(hematoxylin, dab, at_x, at_y)
                    h_out += h
                    d_out += d
                else:
                    h = bilinear(hematoxylin, at_x, at_y)
                    h_far += h
                if k_out > 0:
                    h_ring += h
                    h_ring_square += h * h
        mean = h_in / weight
        means[k, 0], means[k, 1] = mean, h_out / n_angles
        means[k, 2], means[k, 3] = d_in / weight, d_out / n_angles
        means[k, 4] = h_middle / (n_angles // 2)
        # Rounding can make the variance slightly negative.
        means[k, 5] = math.sqrt(max(h_square / weight - mean * mean, 0.0))
        means[k, 6] = line / (1.45 * (n_angles // 2))
        means[k, 7] = h_far / n_angles
        ring = h_ring / (3 * (n_angles // 2))
        means[k, 8] = math.sqrt(max(h_ring_square / (3 * (n_angles // 2)) - ring * ring, 0.0))
    return means


def stains_inside_and_around(
    planes: Planes, centres: NDArray[np.float64], radii: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Measure the stains inside contours, in a ring 0.75 to 1.5 µm outside, and up to 4 µm outside.

    Parameters
    ----------
    planes
        Stain planes of the tile.
    centres
        float64 (N, 2), x, y, pixels of the tile.
    radii
        float32 (N, A), pixels.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, 9), OD: haematoxylin inside and outside, DAB inside and outside, haematoxylin at the centre, its
        standard deviation inside, DAB ridge inside, haematoxylin 2.5 to 4 µm outside, and its standard deviation 1.5
        to 4 µm outside.
    """
    # The DAB of grey counts here: a red blood cell is recognised by it.
    outside_px = np.array([0.75, 1.5, 2.5, 4.0]) / planes.um_px
    read: NDArray[np.float32] = _readings(
        planes.hematoxylin, planes.all_dab, planes.ridge, centres, radii, outside_px
    )
    return read


def mean_edge(found: Candidates) -> NDArray[np.float32]:
    """Return the fall of evidence across each contour, mean over directions of the capped values: float32 (N), OD."""
    mean: NDArray[np.float32] = np.minimum(found.edge, _EDGE_LIMIT_OD).mean(1)
    return mean


def _shape(radii: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return roundness (4 pi area / perimeter²), second harmonic and mean second difference, relative to the radius."""
    angle = np.linspace(0, 2 * np.pi, radii.shape[1], endpoint=False, dtype=np.float32)
    x, y = radii * np.cos(angle), radii * np.sin(angle)
    perimeter = np.hypot(x - np.roll(x, -1, 1), y - np.roll(y, -1, 1)).sum(1)
    mean = radii.mean(1)
    # Amplitude of the second harmonic: elongation, whatever the direction.
    second = np.hypot((radii * np.cos(2 * angle)).mean(1), (radii * np.sin(2 * angle)).mean(1))
    bend = np.abs(np.roll(radii, 1, 1) + np.roll(radii, -1, 1) - 2 * radii).mean(1)
    return [4 * np.pi * polygon_areas(radii) / perimeter**2, second / mean, bend / mean]


def nucleus_features(
    found: Candidates, strong_edge_od: float, strong_hematoxylin_od: float, um_px: float
) -> NDArray[np.float32]:
    """Compute the features of candidates, relative to the image's own clear nuclei and to each other.

    Counterstains differ by a factor of three between laboratories; relative densities make one set of trees fit all.

    Parameters
    ----------
    found
        N candidates: all that may be nuclei, since each is compared with the others around it.
    strong_edge_od, strong_hematoxylin_od
        Edge and haematoxylin of the image's clear nuclei, > 0, OD; see `ClassicalDetector.prepared`.
    um_px
        Pixel size of the tile, µm.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, 29), columns `NUCLEUS_FEATURES`: fall of evidence (mean, lower quarter, lower tenth, fraction of
        directions with a clear one), haematoxylin, DAB and evidence inside and against the surroundings, size (log
        µm²), shape; haematoxylin against the wider surroundings, relative to the image's nuclei and to the noise there,
        DAB per haematoxylin, the edge (log) and the step to the wider surroundings in absolute terms; then the
        columns of `rival_features`.
    """
    edge, inner = mean_edge(found), found.inner
    n = found.edge.shape[1]
    # Low ranks over directions find contours that are open on one side.
    by_rank = np.partition(found.edge, (n // 10, n // 4), axis=1)
    # Low ranks relative to the mean: how evenly the edge is distributed, independent of its strength.
    own = np.maximum(edge, np.float32(1e-3))
    hematoxylin, dab = found.hematoxylin, found.dab
    # Fibres and wrinkles have an edge, yet are hardly darker than the tissue a few µm away.
    far_step = hematoxylin[:, 0] - found.far[:, 0]
    columns = [
        edge / strong_edge_od,
        by_rank[:, n // 4] / own,
        by_rank[:, n // 10] / own,
        (found.edge > 0.3 * edge[:, None]).mean(1),
        hematoxylin[:, 0] / strong_hematoxylin_od,
        (hematoxylin[:, 0] - hematoxylin[:, 1]) / strong_hematoxylin_od,
        inner[:, 0] / strong_hematoxylin_od,
        inner[:, 1] / strong_hematoxylin_od,
        # DAB stays absolute: brown is brown, whatever the counterstain.
        dab[:, 0],
        dab[:, 0] - dab[:, 1],
        inner[:, 2],
        inner[:, 3] / strong_edge_od,
        found.valley / strong_edge_od,
        np.log(found.area_um2),
        *_shape(found.radii),
        far_step / strong_hematoxylin_od,
        far_step / (found.far[:, 1] + np.float32(_CALM_SHARE * strong_hematoxylin_od)),
        dab[:, 0] / np.maximum(hematoxylin[:, 0], np.float32(_HUE_FROM_OD)),
        # In a field without nuclei the strongest fibres set the relative scale.
        np.log(edge + np.float32(_NO_EDGE_OD)),
        far_step,
    ]
    rivals = rival_features(found.centre, found.area_um2, edge, um_px)
    return np.concatenate([np.stack(columns, 1), rivals], 1).astype(np.float32)
