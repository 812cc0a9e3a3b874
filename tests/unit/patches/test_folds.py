from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import PatchError
from qupath_her2.patches.folds import fold_splits, k_folds
from qupath_her2.patches.splits import case_groups, leaked_cases, split_by_patch, split_warning
from tests.unit.patches.conftest import cohort, parts_by_case


@settings(max_examples=60, deadline=None)
@given(
    n_cases=st.integers(2, 30),
    k=st.integers(2, 10),
    n_classes=st.integers(1, 4),
    seed=st.integers(0, 999),
)
def test_folds_test_every_case_once(n_cases: int, k: int, n_classes: int, seed: int) -> None:
    made = cohort(n_cases, n_classes=n_classes)
    if k > n_cases:
        with pytest.raises(PatchError, match="folds"):
            k_folds(made, k, seed)
        return
    folds = k_folds(made, k, seed)
    group, names = case_groups(made)
    assert np.array_equal(sum(test.astype(int) for _, test in folds), np.ones(len(made), int))
    cases = [set(group[test].tolist()) for _, test in folds]
    assert sum(map(len, cases)) == len(names)
    assert max(map(len, cases)) - min(map(len, cases)) <= 1
    for label in range(n_classes):
        with_label = [sum(case % n_classes == label for case in _numbers(names, fold)) for fold in cases]
        assert max(with_label) - min(with_label) <= 1
    for train, test in folds:
        assert not (train & test).any()
        assert (train | test).all()


def _numbers(names: tuple[str, ...], fold: set[int]) -> list[int]:
    return [int(names[place].split()[1]) for place in fold]


@settings(max_examples=40, deadline=None)
@given(n_cases=st.integers(3, 30), k=st.integers(3, 10), n_classes=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_cross_validation_tests_each_case_once(n_cases: int, k: int, n_classes: int, seed: int) -> None:
    manifest = split_by_patch(cohort(n_cases, n_classes=n_classes))
    if k > n_cases:
        with pytest.raises(PatchError, match=f"{n_cases} cases cannot make {k} folds"):
            fold_splits(manifest, k, seed)
        return
    folds = fold_splits(manifest, k, seed)
    assert len(folds) == k
    tested = []
    for number, fold in enumerate(folds, start=1):
        assert leaked_cases(fold) == ()
        # By patch before, by case now: no figure of it needs a warning.
        assert split_warning(fold) is None
        assert (fold.settings["split"]["fold"], fold.settings["split"]["folds"]) == (number, k)
        parts = parts_by_case(fold)
        assert set.union(*parts.values()) == {0, 1, 2}
        tested += [case for case, part in parts.items() if part == {2}]
    assert sorted(tested) == sorted(parts_by_case(manifest))


def test_two_folds_leave_none_for_training() -> None:
    with pytest.raises(PatchError, match="Ask for 3 or more"):
        fold_splits(cohort(5), 2)


def test_an_impossible_number_of_folds_is_refused() -> None:
    with pytest.raises(PatchError):
        k_folds(cohort(5), 1)
