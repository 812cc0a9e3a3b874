"""Tumour probability of each cell, from its own features and those of its neighbours.

Two passes of boosted trees: the first sees a cell with the means over its neighbours, the second also the neighbours'
first probabilities, so that a nest is judged as a whole and a single odd nucleus in stroma is not. Invasive carcinoma,
carcinoma in situ and benign glands are all epithelium to it: only a reader can tell them apart.

`tests.quality.tumour_trees` trains the trees.

References
----------
.. [1] Sirinukunwattana K, et al. "Novel digital signatures of tissue phenotypes for predicting distant metastasis in
   colorectal cancer." Sci Rep 8:13692, 2018 (cells classified by their neighbourhoods).
.. [2] Tu Z, Bai X. "Auto-context and its application to high-level vision tasks." IEEE TPAMI 32:1744-1757, 2010.
   doi:10.1109/TPAMI.2009.186 (classifying again with the neighbours' first probabilities).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from qupath_her2.cells.nuclei.trees import Trees, load_trees, predict
from qupath_her2.cells.tumour.surroundings import AXIS_NAMES, FEATURE_NAMES

__all__ = ["FIRST_NAMES", "PASSES", "SECOND_NAMES", "TREES_FILE", "Neighbours", "first_rows", "neighbours_of",
           "second_rows", "second_rows_of", "share", "shipped_finder", "tumour_probability"]  # fmt: skip

#: Package data, see `tests.quality.tumour_trees`.
TREES_FILE = "tumour_trees.npz"

#: The passes of the finder.
PASSES = ("first", "second")

#: Neighbours whose features are averaged: the nearest, and the wider nest.
_NEAR, _WIDE = 6, 24
#: Neighbours farther than this do not count, µm: beyond it lies other tissue.
_REACH_UM = 60.0

_OWN = FEATURE_NAMES[: -len(AXIS_NAMES)]
#: Columns in haematoxylin OD, divided by the image's own strength of nuclei: counterstains differ by a factor of three.
_IN_OD = tuple(i for i, name in enumerate(_OWN) if name.startswith(("h_", "fine_", "fibre_strength")))
#: Least strength of nuclei, OD: under it, an image has none.
_FAINTEST_OD = 0.02

_PLACE_NAMES = (
    "distance_1", "distance_3", "distance_6", "distance_24", "n_within", "size_spread", "axis_order",
    "axis_order_wide",
)  # fmt: skip
#: Columns of the first pass, and of the second, which begins with those of the first.
FIRST_NAMES = (*_OWN, *(f"{n}:near" for n in _OWN), *(f"{n}:wide" for n in _OWN), *_PLACE_NAMES)
SECOND_NAMES = (*FIRST_NAMES, "first", "first:near", "first:wide", "first:highest_near", "first:lowest_near")


class Neighbours:
    """Nearest neighbours of N cells.

    Attributes
    ----------
    index
        int32 (N, 24), the cell itself where it has fewer neighbours within 60 µm.
    distance_um
        float32 (N, 24), 60 where there is no such neighbour.
    """

    __slots__ = ("distance_um", "index")

    def __init__(self, index: NDArray[np.int32], distance_um: NDArray[np.float32]) -> None:
        self.index, self.distance_um = index, distance_um


def neighbours_of(centre_xy_um: NDArray[np.float64]) -> Neighbours:
    """Return the 24 nearest neighbours of each cell.

    Parameters
    ----------
    centre_xy_um
        float64 (N, 2), µm.

    Returns
    -------
    Neighbours
        Of all N cells.
    """
    n = len(centre_xy_um)
    distance, index = cKDTree(centre_xy_um).query(
        centre_xy_um, _WIDE + 1, distance_upper_bound=_REACH_UM, workers=1
    )
    # The nearest is the cell itself; missing ones have the index n.
    distance, index = distance[:, 1:], index[:, 1:]
    none = index == n
    index = np.where(none, np.arange(n)[:, None], index)
    return Neighbours(index.astype(np.int32), np.where(none, _REACH_UM, distance).astype(np.float32))


@nb.njit(cache=True, nogil=True)
def _neighbour_means(
    rows: NDArray[np.float32], index: NDArray[np.int32], near: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the means of rows (N, F) over the first `near` neighbours, and over all."""
    n, k = index.shape
    columns = rows.shape[1]
    first, every = np.empty((n, columns), np.float32), np.empty((n, columns), np.float32)
    total = np.empty(columns, np.float64)
    for i in range(n):
        total[:] = 0
        for j in range(k):
            neighbour = index[i, j]
            for c in range(columns):
                total[c] += rows[neighbour, c]
            if j == near - 1:
                for c in range(columns):
                    first[i, c] = total[c] / near
        for c in range(columns):
            every[i, c] = total[c] / k
    return first, every


def first_rows(features: NDArray[np.float32], around: Neighbours) -> NDArray[np.float32]:
    """Return the columns of the first pass.

    Parameters
    ----------
    features
        float32 (N, F), see `tissue_features`.
    around
        Neighbours of the N cells.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, C), columns `FIRST_NAMES`.
    """
    own, axis = features[:, : len(_OWN)].copy(), features[:, len(_OWN) :]
    strength = max(float(np.percentile(own[:, _OWN.index("h_step")], 75)), _FAINTEST_OD)
    own[:, _IN_OD] /= np.float32(strength)
    size = own[:, :1]
    joined = np.concatenate([own, axis, size * size], 1)
    near, wide = _neighbour_means(joined, around.index, _NEAR)
    f = len(_OWN)
    # Elongated nuclei that lie alike are stroma; the long side of columnar cells turns with the gland.
    long = np.maximum(np.stack([near[:, 2], wide[:, 2]], 1), np.float32(1e-3))
    order = np.stack([np.hypot(*m[:, f : f + 2].T) for m in (near, wide)], 1) / long
    spread = np.sqrt(np.maximum(wide[:, f + 2] - wide[:, 0] ** 2, 0))
    distance = np.log(np.maximum(around.distance_um[:, (0, 2, _NEAR - 1, _WIDE - 1)], np.float32(0.5)))
    within = (around.distance_um < _REACH_UM / 2).sum(1)[:, None]
    place = [distance, within, spread[:, None], order]
    return np.concatenate([own, near[:, :f], wide[:, :f], *place], 1).astype(np.float32)


def second_rows(
    rows: NDArray[np.float32], first: NDArray[np.float32], around: Neighbours
) -> NDArray[np.float32]:
    """Return the columns of the second pass.

    Parameters
    ----------
    rows
        float32 (N, C), columns `FIRST_NAMES`.
    first
        float32 (N), probabilities of the first pass, 0..1.
    around
        Neighbours of the N cells.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, C + 5), columns `SECOND_NAMES`.
    """
    near, wide = _neighbour_means(first[:, None], around.index, _NEAR)
    nearest = first[around.index[:, :_NEAR]]
    columns = [first[:, None], near, wide, nearest.max(1)[:, None], nearest.min(1)[:, None]]
    return np.concatenate([rows, *columns], 1).astype(np.float32)


@cache
def shipped_finder() -> dict[str, Trees]:
    """Return the trees of both passes of the package, loaded once."""
    return load_trees(TREES_FILE, PASSES, SECOND_NAMES, "tests.quality.tumour_trees")


def share(log_odds: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return probabilities from log odds, 0..1."""
    return (1 / (1 + np.exp(-log_odds))).astype(np.float32)


def tumour_probability(
    features: NDArray[np.float32],
    centre_xy_um: NDArray[np.float64],
    trees: Mapping[str, Trees] | None = None,
) -> NDArray[np.float32]:
    """Return the probability that each cell is one of a tumour.

    Parameters
    ----------
    features
        float32 (N, F), all cells of an image, see `tissue_features`.
    centre_xy_um
        float64 (N, 2), their centres, x, y, µm.
    trees
        Those of the ``first`` and ``second`` pass; None for those of the package.

    Returns
    -------
    NDArray[np.float32]
        float32 (N), 0..1.

    Raises
    ------
    ExchangeError
        When the trees of this installation were trained on other features.
    """
    if not len(features):
        return np.zeros(0, np.float32)
    trees = trees or shipped_finder()
    return share(predict(trees["second"], second_rows_of(features, centre_xy_um, trees)))


def second_rows_of(
    features: NDArray[np.float32], centre_xy_um: NDArray[np.float64], trees: Mapping[str, Trees]
) -> NDArray[np.float32]:
    """Return the columns of the second pass, with first probabilities by the trees of the first.

    Parameters
    ----------
    features, centre_xy_um, trees
        As in `tumour_probability`.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, C + 5), columns `SECOND_NAMES`.
    """
    around = neighbours_of(centre_xy_um)
    rows = first_rows(features, around)
    return second_rows(rows, share(predict(trees["first"], rows)), around)
