from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.matching import match_nuclei


def square(x: float, y: float, half: float) -> np.ndarray:
    return np.array([[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]])


def test_worked_by_hand() -> None:
    nuclei = [square(10, 10, 4), square(30, 10, 4), square(50, 10, 20), square(90, 90, 4)]
    lymphocyte = square(10, 60, 4)
    detected = np.array([
        [12, 10],  # in nucleus 0
        [10, 10],  # in nucleus 0 and nearer: takes it, the other is false
        [35.5, 10],  # beside nucleus 1 but within 6 px of its centre; also in the large nucleus 2
        [65, 25],  # in nucleus 2, 21 px from its centre
        [10, 62],  # on the lymphocyte: ignored
        [200, 200],  # nowhere: false
    ])  # fmt: skip
    found = match_nuclei(detected, nuclei, 0.5, [lymphocyte])
    assert dict(zip(found.detected, found.truth, strict=True)) == {1: 0, 2: 1, 3: 2}
    assert found.false.tolist() == [0, 5]
    assert found.missed.tolist() == [3]
    assert found.ignored.tolist() == [4]
    assert found.f1 == pytest.approx(2 * 3 / (2 * 3 + 2 + 1))


def test_more_pairs_win_over_shorter_ones() -> None:
    # Greedy by distance would give detection 0 to nucleus 0 (1 px) and leave detection 1 alone.
    nuclei = [square(0, 0, 1), square(5, 0, 1)]
    found = match_nuclei(np.array([[1.0, 0.0], [-5.0, 0.0]]), nuclei, 0.5)
    assert dict(zip(found.detected, found.truth, strict=True)) == {0: 1, 1: 0}


def test_distance_is_physical() -> None:
    at = np.array([[8.0, 0.0]])
    assert len(match_nuclei(at, [square(0, 0, 1)], 0.25).truth) == 1
    assert len(match_nuclei(at, [square(0, 0, 1)], 0.5).truth) == 0


def test_nothing_at_all() -> None:
    assert match_nuclei(np.empty((0, 2)), [], 0.5).f1 == 1.0
    only_truth = match_nuclei(np.empty((0, 2)), [square(0, 0, 1)], 0.5)
    assert only_truth.missed.tolist() == [0]
    assert only_truth.f1 == 0.0
    only_found = match_nuclei(np.array([[0.0, 0.0]]), [], 0.5, [square(0, 0, 1)])
    assert only_found.ignored.tolist() == [0]
    assert only_found.f1 == 1.0
