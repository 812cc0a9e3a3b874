"""The cells that decide a score: those that the sentence under it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.scoring.clusters import cluster_sizes, in_largest_cluster
from qupath_her2.scoring.intervals import false_call_limit
from qupath_her2.scoring.rules import counted_by, evaluate, fact_counts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from qupath_her2.records import SlideScore
    from qupath_her2.scoring.rules import Guideline
    from qupath_her2.scoring.score_cells import ScoringSettings

__all__ = ["deciding_cells"]


def deciding_cells(
    score: SlideScore,
    intensity: NDArray[np.uint8],
    pattern: NDArray[np.uint8],
    pools: Iterable[NDArray[np.bool_]],
    guideline: Guideline,
    settings: ScoringSettings,
    *,
    centroid_xy_um: NDArray[np.floating],
) -> NDArray[np.bool_]:
    """Return which cells decide the score of an image, or those of its regions where the image has none.

    They are the cells that the row of the guideline counts that gave the score. No row gives a 0: there the stained
    cells decide, too few for the weakest row. In clusters, the largest decides.

    Parameters
    ----------
    score
        Of the image and its regions.
    intensity, pattern
        uint8 (N,), indices into `records.INTENSITIES` and `records.PATTERNS`, 255 = not measured.
    pools
        bool (N,) for each of `score.regions`: its cells. Asked for only where the image has no score.
    guideline, settings
        Those of the score.
    centroid_xy_um
        (N, 2), µm; only guidelines of clusters use them.

    Returns
    -------
    NDArray[np.bool_]
        bool (N,), as many as the reason of the score counts; none where nothing was scored.
    """
    scored = [np.ones(len(intensity), bool)] if score.score is not None else []
    if not scored:
        scored = [
            pool
            for pool, region in zip(pools, score.regions.values(), strict=True)
            if region.score is not None
        ]
    deciding = np.zeros(len(intensity), bool)
    for pool in scored:
        rows = np.flatnonzero(pool)
        deciding[rows] |= _in_pool(intensity[rows], pattern[rows], guideline, settings, centroid_xy_um[rows])
    return deciding


def _in_pool(
    intensity: NDArray[np.uint8],
    pattern: NDArray[np.uint8],
    guideline: Guideline,
    settings: ScoringSettings,
    xy_um: NDArray[np.floating],
) -> NDArray[np.bool_]:
    """Return which cells decide the score of one pool; it was scored, so at least one was measured."""
    counts = fact_counts(intensity, pattern)
    clusters = None
    if guideline.by_cluster:
        clusters = cluster_sizes(intensity, pattern, xy_um, guideline, settings.cluster_distance_um)
    false_calls = false_call_limit(int(counts.sum()), settings.noise_floor)
    row = evaluate(counts, guideline, false_calls=false_calls, clusters=clusters).row
    deciding = counted_by(row or guideline.rows[-1], intensity, pattern)
    if guideline.by_cluster:
        deciding[deciding] = in_largest_cluster(xy_um[deciding], settings.cluster_distance_um)
    return deciding
