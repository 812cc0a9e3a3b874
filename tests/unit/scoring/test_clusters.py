"""Cell clusters against a plain flood fill, and cluster sizes by guideline row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import ScoringError
from qupath_her2.scoring.clusters import cluster_sizes, in_largest_cluster
from qupath_her2.scoring.guidelines import GASTRIC_BIOPSY


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=25, unique=True))
def test_the_largest_cluster_equals_flood_fill(points):
    left, best = set(points), 0
    while left:
        queue, size = [left.pop()], 0
        while queue:
            x, y = queue.pop()
            size += 1
            near = {p for p in left if (p[0] - x) ** 2 + (p[1] - y) ** 2 <= 100}
            left -= near
            queue += near
        best = max(best, size)
    assert in_largest_cluster(np.array(points, float).reshape(-1, 2), 10.0).sum() == best


def test_clusters_of_a_weaker_row_run_through_stronger_cells(facts):
    # Three intense, two moderate and one faint incomplete cell in a line, 10 µm apart: 3+, 2+ and 1+ rows.
    intensity, pattern = facts({"intense complete": 3, "moderate complete": 2, "faint incomplete": 1})
    line = np.column_stack([np.arange(6) * 10.0, np.zeros(6)])
    assert [row.score for row in GASTRIC_BIOPSY.rows] == ["3+", "2+", "1+"]
    assert cluster_sizes(intensity, pattern, line, GASTRIC_BIOPSY, 10.0) == (3, 5, 6)
    assert cluster_sizes(intensity, pattern, line, GASTRIC_BIOPSY, 9.9) == (1, 1, 1)


def test_centroids_must_match_the_cells_and_be_finite(facts):
    intensity, pattern = facts({"intense complete": 3})
    with pytest.raises(ScoringError, match=r"\(2, 2\) do not match 3 cells; expected \(3, 2\) in µm"):
        cluster_sizes(intensity, pattern, np.zeros((2, 2)), GASTRIC_BIOPSY, 20.0)
    with pytest.raises(ScoringError, match="not finite"):
        cluster_sizes(intensity, pattern, np.full((3, 2), np.nan), GASTRIC_BIOPSY, 20.0)
