"""`cells_to_next_score` against exhaustive search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.scoring.guidelines import (
    BREAST_2013,
    BREAST_2018,
    CSCO_2021,
    GASTRIC_BIOPSY,
    GASTRIC_RESECTION,
)
from qupath_her2.scoring.next_score import cells_to_next_score
from qupath_her2.scoring.rules import evaluate

#: One (intensity, pattern) pair for each way the rows of any guideline count a cell: keeps the search small.
KINDS = [(0, 0), (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3)]


def histogram(numbers):
    counts = np.zeros((4, 4), np.int64)
    for kind, number in zip(KINDS, numbers, strict=True):
        counts[kind] += number
    return counts


def by_search(counts, guideline, false_calls):
    """Return the fewest moves to any histogram with another score: half the L1 distance, over all histograms."""
    signature = {kind: tuple(kind in row.cells for row in guideline.rows) for kind in KINDS}
    groups = sorted(set(signature.values()))
    have = [sum(int(counts[kind]) for kind in KINDS if signature[kind] == group) for group in groups]
    member = [next(kind for kind in KINDS if signature[kind] == group) for group in groups]
    total, start = sum(have), evaluate(counts, guideline, false_calls=false_calls).score
    best = None
    for split in compositions(total, len(groups)):
        distance = sum(abs(a - b) for a, b in zip(have, split, strict=True)) // 2
        if best is not None and distance >= best:
            continue
        there = np.zeros((4, 4), np.int64)
        for kind, number in zip(member, split, strict=True):
            there[kind] += number
        if evaluate(there, guideline, false_calls=false_calls).score != start:
            best = distance
    return best


def compositions(total, parts):
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in compositions(total - first, parts - 1):
            yield (first, *rest)


@settings(max_examples=50, deadline=None)
@given(
    cells=st.lists(st.integers(0, len(KINDS) - 1), min_size=1, max_size=21),
    guideline=st.sampled_from([BREAST_2018, BREAST_2013, CSCO_2021, GASTRIC_RESECTION]),
    false_calls=st.integers(0, 2),
)
def test_equals_exhaustive_search_over_all_histograms(cells, guideline, false_calls):
    counts = histogram([cells.count(kind) for kind in range(len(KINDS))])
    answer = cells_to_next_score(counts, guideline, false_calls=false_calls)
    assert answer == by_search(counts, guideline, false_calls)


@pytest.mark.parametrize(
    ("cells", "cells_needed"),
    [
        ({"none": 1000}, 1),  # one intense complete cell is reported as heterogeneous
        ({"intense complete": 100, "none": 900}, 1),
        ({"intense complete": 101, "none": 899}, 1),
        ({"intense complete": 150, "none": 850}, 50),
        ({"moderate complete": 230, "none": 770}, 101),
        ({"moderate complete": 120, "none": 880}, 20),
        ({"moderate complete": 110, "moderate lateral": 105, "none": 785}, 101),
        ({"faint complete": 110, "moderate lateral": 105, "none": 785}, 15),
    ],
)
def test_known_distances(counts_of, cells, cells_needed):
    assert cells_to_next_score(counts_of(cells), BREAST_2018) == cells_needed


def test_the_noise_floor_moves_the_first_step(counts_of):
    assert cells_to_next_score(counts_of({"none": 1000}), BREAST_2018, false_calls=10) == 11


def test_cluster_guidelines_have_no_distance(counts_of):
    assert cells_to_next_score(counts_of({"none": 100}), GASTRIC_BIOPSY) is None
