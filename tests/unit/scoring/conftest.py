"""Short ways to write cells: ``facts({"intense complete": 11, "none": 89})``."""

from __future__ import annotations

import numpy as np
import pytest

from qupath_her2.records import INTENSITIES, PATTERNS

SHORT = {"none": 0, "incomplete": 1, "lateral": 2, "complete": 3}


def _facts(numbers):
    intensity, pattern = [], []
    for name, number in numbers.items():
        word, _, shape = name.partition(" ")
        intensity += [INTENSITIES.index(word)] * number
        pattern += [SHORT[shape or "none"]] * number
    return np.array(intensity, np.uint8), np.array(pattern, np.uint8)


def _counts(numbers):
    counts = np.zeros((len(INTENSITIES), len(PATTERNS)), np.int64)
    intensity, pattern = _facts(numbers)
    np.add.at(counts, (intensity, pattern), 1)
    return counts


@pytest.fixture(scope="session")
def facts():
    return _facts


@pytest.fixture(scope="session")
def counts_of():
    return _counts
