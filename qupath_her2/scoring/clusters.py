"""Clusters of stained cells, for the biopsy rule of gastric cancer.

scipy's graph routines are imported by the function that needs them: only gastric biopsies do, and the import takes
a third of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.errors import ScoringError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.scoring.rules import Guideline

__all__ = ["cluster_sizes", "in_largest_cluster"]


def in_largest_cluster(centroid_xy_um: NDArray[np.floating], distance_um: float) -> NDArray[np.bool_]:
    """Return which cells are in the largest group linked by steps of at most `distance_um`, bool (K,).

    Of groups of the same size, the one with the first cell.

    Parameters
    ----------
    centroid_xy_um
        (K, 2), centroids in µm.
    distance_um
        Largest distance between the centroids of neighbouring cells, in µm, inclusive.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    n_cells = len(centroid_xy_um)
    if n_cells < 2:
        return np.ones(n_cells, bool)
    # Only neighbours enter the graph: all pairwise distances of 10^5 cells would not fit in memory.
    pairs = cKDTree(centroid_xy_um).query_pairs(distance_um, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n_cells, n_cells))
    # Single linkage: a chain of neighbouring cells is one cluster, however long.
    _, group = connected_components(links, directed=False)
    inside: NDArray[np.bool_] = group == np.bincount(group).argmax()
    return inside


def cluster_sizes(
    intensity: NDArray[np.uint8],
    pattern: NDArray[np.uint8],
    centroid_xy_um: NDArray[np.floating],
    guideline: Guideline,
    distance_um: float,
) -> tuple[int, ...]:
    """Return the size of the largest cluster of the cells that each row counts.

    A cluster of a weaker row may include stronger cells: sets are cumulative, so a cluster of 3+ cells is also
    a cluster of 2+ cells.

    Parameters
    ----------
    intensity, pattern
        uint8 (N,), indices into `records.INTENSITIES` and `records.PATTERNS`.
    centroid_xy_um
        (N, 2), centroids in µm.
    guideline
        The rule table.
    distance_um
        Largest distance between neighbours, as in `in_largest_cluster`.

    Returns
    -------
    tuple[int, ...]
        Cells in the largest cluster of each row, in the order of the rows.

    Raises
    ------
    ScoringError
        The centroids do not match the cells, or one of them is not finite.
    """
    if centroid_xy_um.shape != (len(intensity), 2):
        raise ScoringError(
            f"Centroids of shape {centroid_xy_um.shape} do not match {len(intensity)} cells; expected "
            f"({len(intensity)}, 2) in µm."
        )
    # cKDTree's own error would not say that a cell is to blame.
    if not np.isfinite(centroid_xy_um).all():
        raise ScoringError(
            "A cell centroid is not finite, so clusters cannot be found. Rerun the cell detection."
        )
    sizes = []
    for row in guideline.rows:
        inside = np.zeros(len(intensity), bool)
        for fact in row.cells:
            inside |= (intensity == fact[0]) & (pattern == fact[1])
        sizes.append(int(in_largest_cluster(centroid_xy_um[inside], distance_um).sum()))
    return tuple(sizes)
