"""Confusion matrices of readers: every pair counted once, every cell with its slides."""

from __future__ import annotations

import numpy as np

from qupath_her2.scoring.agreement.reader_matrices import reader_matrices
from tests.unit.scoring.agreement.reader_panels import noisy, panel


def by_title(readings):
    assert readings.scale is not None
    return {one.title: one for one in reader_matrices(readings, readings.scale)}


def test_pairs_are_counted_and_cells_name_their_slides():
    codes = np.array([[[0, 0, 1], [0, 1, 1], [2, 2, 2]]])
    found = by_title(panel(codes, machine=2))
    machine = found["machine against readers"]
    assert machine.counts[1].tolist() == [3, 1, 0, 0]
    assert machine.slides[1, 0] == (("s0", 2), ("s1", 1))
    assert machine.slides[2, 2] == (("s2", 2),)
    assert machine.counts.sum() == 6
    assert found["R0 against R1"].slides == {(0, 0): (("s0", 1),), (0, 1): (("s1", 1),), (2, 2): (("s2", 1),)}
    assert set(found) == {
        "machine against readers",
        "machine against R0",
        "machine against R1",
        "R0 against R1",
    }


def test_many_readers_are_pooled_both_ways():
    codes = noisy(0, 20, 6, 0.3)[None]
    found = by_title(panel(codes))
    assert list(found) == ["readers against each other"]
    counts = found["readers against each other"].counts
    assert np.array_equal(counts, counts.T)
    assert counts.sum() == 20 * 6 * 5


def test_rounds_are_compared_reader_by_reader():
    first = np.array([[0, 3], [1, -1]])
    second = np.array([[1, 3], [1, 2]])
    found = by_title(panel([first, second]))["round 1 against round 2, each reader's own"]
    # A slide that was not read in one round is no pair.
    assert found.counts.sum() == 3
    assert found.slides == {(0, 1): (("s0", 1),), (1, 1): (("s1", 1),), (3, 3): (("s0", 1),)}
