from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.cells.nuclei.suppression import ROUNDS, keep_best

REACH_PX = 32.0


def compete(centres: np.ndarray, radii: np.ndarray, i: int, j: int) -> bool:
    """Whether two contours compete: a centre well inside the other, or an overlap of half a radius."""
    (dx, dy), n_angles = centres[j] - centres[i], radii.shape[1]
    distance = math.hypot(dx, dy)
    towards = round(math.atan2(dy, dx) / (2 * math.pi) * n_angles) % n_angles
    mine, other = radii[i, towards], radii[j, (towards + n_angles // 2) % n_angles]
    overlap = mine + other - distance
    return distance <= REACH_PX and (
        distance < 0.9 * mine or distance < 0.9 * other or overlap > 0.5 * min(mine, other)
    )


def best_first(centres: np.ndarray, radii: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, int]:
    """Greedy suppression, best candidate first; also return the longest chain of waiting candidates."""
    kept = np.zeros(len(score), bool)
    waits = np.zeros(len(score), int)
    order = np.lexsort((np.arange(len(score)), -score))
    for place, i in enumerate(order):
        competitors = [j for j in order[:place] if compete(centres, radii, i, j)]
        kept[i] = not kept[competitors].any()
        waits[i] = 1 + max(waits[competitors], default=0)
    return kept, int(waits.max(initial=0))


def drawn(seed: int, n: int, side_px: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.round(rng.uniform(0, side_px, (n, 2)) * 16) / 16
    radii = (rng.uniform(4, 12, (n, 1)) * rng.uniform(0.8, 1.2, (n, 32))).astype(np.float32)
    # Few distinct scores, so that ties are common.
    return centres, radii, rng.integers(0, 12, n).astype(np.float32)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.sampled_from([30.0, 100.0, 400.0]))
def test_result_equals_greedy_suppression(seed: int, n: int, side_px: float) -> None:
    centres, radii, score = drawn(seed, n, side_px)
    expected, chain = best_first(centres, radii, score)
    found = keep_best(centres, radii, score, REACH_PX)
    # Candidates undecided after the last round are dropped, never kept by chance.
    assert not (found & ~expected).any()
    if chain <= ROUNDS:
        assert (found == expected).all()


def test_chains_are_short_at_the_density_of_real_candidates() -> None:
    """About three candidates per nucleus, as in tissue: hardly any is left undecided."""
    centres, radii, score = drawn(5, 900, 600.0)
    score = np.random.default_rng(5).uniform(size=len(score)).astype(np.float32)
    expected, _ = best_first(centres, radii, score)
    assert (keep_best(centres, radii, score, REACH_PX) == expected).mean() > 0.995


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000))
def test_distant_candidates_change_nothing(seed: int) -> None:
    centres, radii, score = drawn(seed, 60, 120.0)
    alone = keep_best(centres, radii, score, REACH_PX)
    far, far_radii, far_score = drawn(seed + 1, 40, 300.0)
    # Beyond the reach of every chain, and first in order, so that every index changes.
    joined = keep_best(
        np.concatenate([far + np.array([500, 0]), centres, far + np.array([0, 500])]),
        np.concatenate([far_radii, radii, far_radii]),
        np.concatenate([far_score + 20, score, far_score + 20]),
        REACH_PX,
    )
    assert (joined[40:100] == alone).all()


def test_shifting_all_candidates_changes_nothing() -> None:
    centres, radii, score = drawn(9, 200, 300.0)
    alone = keep_best(centres, radii, score, REACH_PX)
    for shift in ([8, 0], [0, 13], [1000, 2000]):
        assert (keep_best(centres + shift, radii, score, REACH_PX) == alone).all()


def test_ties_keep_the_earlier_candidate_and_none_is_none() -> None:
    centres = np.array([[20.0, 20.0], [22.0, 20.0]])
    kept = keep_best(centres, np.full((2, 32), 8, np.float32), np.ones(2, np.float32), REACH_PX)
    assert kept.tolist() == [True, False]
    none = keep_best(np.zeros((0, 2)), np.zeros((0, 32), np.float32), np.zeros(0, np.float32), REACH_PX)
    assert none.shape == (0,)


def test_touching_neighbours_are_both_kept() -> None:
    centres = np.array([[20.0, 20.0], [36.0, 20.0]])
    kept = keep_best(centres, np.full((2, 32), 8.5, np.float32), np.array([2, 1], np.float32), REACH_PX)
    assert kept.all()
