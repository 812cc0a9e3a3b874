"""Nucleus candidates: outlined seeds and the features that tell nuclei from other dark, round objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.nuclei.rays import place_samples, read_pairs, read_samples
from qupath_her2.cells.nuclei.rivals import RIVAL_FEATURES, rival_features
from qupath_her2.cells.nuclei.star_contours import FAST_MATH, polygon_areas
from qupath_her2.cells.stain_planes import Plane, Planes

__all__ = [
    "NUCLEUS_FEATURES",
    "N_STAIN_READINGS",
    "Candidates",
    "mean_edge",
    "stains_inside_and_around",
    "join_candidates",
    "nucleus_features",
    "read_stains",
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


#: Columns of `stains_inside_and_around`.
N_STAIN_READINGS = 9
#: Samples of a direction: three inside, as shares of the radius, then `_OUTSIDE_UM` outside.
_SHARES = np.array([0.3, 0.6, 0.85, 1.0, 1.0, 1.0, 1.0], np.float32)
_OUTSIDE_UM = np.array([0.0, 0.0, 0.0, 0.75, 1.5, 2.5, 4.0])


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def read_stains(
    stains: NDArray[np.float32],
    ridge: Plane,
    centres: NDArray[np.float64],
    radii: NDArray[np.float32],
    um_px: float,
) -> NDArray[np.float32]:
    """Return the columns of `stains_inside_and_around`.

    Parameters
    ----------
    stains
        float32 (H, W, 2), haematoxylin and all DAB.
    ridge
        float32 (H, W), DAB ridge.
    centres
        float64 (N, 2), x, y, pixels.
    radii
        float32 (N, A), pixels.
    um_px
        Pixel size, µm.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, 9)
    """
    # Every second direction: means need no finer sampling than that.
    n, directions = len(radii), radii.shape[1] // 2
    means, outside = np.empty((n, N_STAIN_READINGS), np.float32), (_OUTSIDE_UM / um_px).astype(np.float32)
    samples = (len(_SHARES), directions)
    along_x, along_y = np.empty(samples, np.float32), np.empty(samples, np.float32)
    angle = 2 * math.pi * np.arange(directions) / directions
    cosine, sine = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    size = len(_SHARES) * directions
    index, u, v = np.empty(size, np.int32), np.empty(size, np.float32), np.empty(size, np.float32)
    h, d, line = (
        np.empty(samples, np.float32),
        np.empty(samples, np.float32),
        np.empty((2, directions), np.float32),
    )
    # The ridge is read at the outer two of the three samples inside.
    outer = slice(directions, 3 * directions)
    for k in range(n):
        for sample in range(len(_SHARES)):
            for a in range(directions):
                distance = _SHARES[sample] * radii[k, 2 * a] + outside[sample]
                along_x[sample, a], along_y[sample, a] = distance * cosine[a], distance * sine[a]
        offsets = along_x.reshape(-1), along_y.reshape(-1)
        place_samples(ridge.shape, (centres[k, 0], centres[k, 1]), offsets, index, u, v)
        read_pairs(stains.reshape(-1), ridge.shape[1], index, u, v, h.reshape(-1), d.reshape(-1))
        read_samples(ridge.reshape(-1), ridge.shape[1], index[outer], u[outer], v[outer], line.reshape(-1))
        _summarise(h, d, line, means[k])
    return means


@nb.njit(cache=True, nogil=True, fastmath=FAST_MATH)
def _summarise(
    h: NDArray[np.float32], d: NDArray[np.float32], line: NDArray[np.float32], means: NDArray[np.float32]
) -> None:
    """Fill the columns of one contour from its samples, (7, directions); `line` are those of the ridge inside, (2)."""
    h_in, h_square, d_in, ridge, weight = 0.0, 0.0, 0.0, 0.0, 0.0
    for sample in range(3):
        total, square, brown = 0.0, 0.0, 0.0
        for a in range(h.shape[1]):
            total += h[sample, a]
            square += h[sample, a] * h[sample, a]
            brown += d[sample, a]
        # Weighted by the place along the radius: the area that a sample stands for grows with it.
        share = _SHARES[sample]
        h_in, h_square, d_in = h_in + share * total, h_square + share * square, d_in + share * brown
        weight += share * h.shape[1]
    for sample in range(2):
        for a in range(h.shape[1]):
            ridge += _SHARES[sample + 1] * line[sample, a]
    mean = h_in / weight
    means[0], means[1] = mean, h[3:5].mean()
    means[2], means[3] = d_in / weight, d[3:5].mean()
    means[4] = h[0].mean()
    # Rounding can make the variance slightly negative.
    means[5] = math.sqrt(max(h_square / weight - mean * mean, 0.0))
    means[6] = ridge / (h.shape[1] * (_SHARES[1] + _SHARES[2]))
    means[7] = h[5:].mean()
    means[8] = h[4:].std()


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
    stains = np.stack([planes.hematoxylin, planes.all_dab], -1)
    read: NDArray[np.float32] = read_stains(stains, planes.ridge, centres, radii, planes.um_px)
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
    by_rank = np.sort(found.edge, axis=1)
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
