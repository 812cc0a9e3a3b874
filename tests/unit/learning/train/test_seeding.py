from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qupath_her2.learning.train.seeding import epoch_order, step_seed, uniforms

SEEDS = st.integers(0, 2**31)


@given(SEEDS, st.integers(0, 1000), st.lists(st.integers(0, 2**40), min_size=1, max_size=30, unique=True))
def test_a_row_draws_the_same_in_any_batch(seed: int, epoch: int, rows: list[int]) -> None:
    together = uniforms(seed, epoch, np.array(rows), 5)
    alone = np.concatenate([uniforms(seed, epoch, np.array([row]), 5) for row in rows])
    assert np.array_equal(together, alone)
    assert together.min() >= 0
    assert together.max() < 1


def test_numbers_are_uniform_and_uncorrelated() -> None:
    rows = np.arange(20_000)
    first, other_epoch, other_seed = (uniforms(*names, rows, 3) for names in ((0, 0), (0, 1), (1, 0)))
    for column in (*first.T, *other_epoch.T, *other_seed.T):
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    pairs = [(first[:, 0], first[:, 1]), (first[:-1, 0], first[1:, 0])]
    pairs += [(first[:, 0], other_epoch[:, 0]), (first[:, 0], other_seed[:, 0])]
    # Four standard errors of a correlation of 20,000 independent pairs.
    assert max(abs(np.corrcoef(a, b)[0, 1]) for a, b in pairs) < 4 / np.sqrt(20_000)


@given(SEEDS, st.integers(0, 1000))
def test_each_epoch_is_another_permutation(seed: int, epoch: int) -> None:
    rows = np.arange(100, 150)
    order = epoch_order(rows, seed, epoch)
    assert sorted(order) == sorted(rows)
    assert np.array_equal(order, epoch_order(rows, seed, epoch))
    assert not np.array_equal(order, epoch_order(rows, seed, epoch + 1))


def test_seeds_of_steps_differ_and_fit_torch() -> None:
    seeds = {
        step_seed(0, epoch, step, rank) for epoch in range(10) for step in range(10) for rank in range(4)
    }
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)
