"""Cross-validation folds by case: every case is tested exactly once and is never in train and test of one fold.

Own code instead of scikit-learn's `StratifiedGroupKFold`, for the reason given in `patches.splits`: published folds
must not change with a library's version.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import PatchError
from qupath_her2.patches.splits import (
    case_groups,
    case_strata,
    shuffle_key,
    split_by_case_warning,
    with_split,
)
from qupath_her2.patches.table import PatchManifest

__all__ = ["fold_splits", "k_folds"]


def k_folds(
    manifest: PatchManifest, k: int, seed: int = 0
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return k folds by case, stratified by the most frequent label of each case.

    Parameters
    ----------
    manifest
        N patches.
    k
        Number of folds, >= 2.
    seed
        Seed of the folds.

    Returns
    -------
    list of tuple
        k pairs (train, test) of masks, bool (N,). Every case is in exactly one test mask; the folds' numbers of cases
        differ by at most one.

    Raises
    ------
    PatchError
        There are fewer cases than folds, or k is below 2.
    """
    group, names = case_groups(manifest)
    if not 2 <= k <= len(names):
        raise PatchError(
            f"{len(names)} cases cannot make {k} folds. Ask for at least 2 folds, and at most one per case."
        )
    strata = case_strata(manifest, group, len(names))
    # Dealt round-robin through the sorted classes without restarting at each class: a restart would give the
    # first folds the remainder of every class.
    order = sorted(range(len(names)), key=lambda case: (strata[case], shuffle_key(names[case], seed)))
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % k
    tests = [fold[group] == number for number in range(k)]
    return [(~test, test) for test in tests]


def fold_splits(manifest: PatchManifest, k: int, seed: int = 0) -> tuple[PatchManifest, ...]:
    """Return k copies of the manifest: in each, one fold is the test part, the next validation, the rest train.

    With ten folds this is the 80/10/10 split of Chauhan et al. 2025. Every case is tested once and is in one part of
    each fold.

    Parameters
    ----------
    manifest
        Patches; an existing split is replaced.
    k
        Number of folds, >= 3.
    seed
        Seed of the folds.

    Returns
    -------
    tuple of PatchManifest
        k manifests; ``settings["split"]`` holds ``fold`` (from 1) and ``folds``.

    Raises
    ------
    PatchError
        There are fewer cases than folds, or k is below 3.
    """
    if k < 3:
        raise PatchError(
            f"{k} folds leave none for training once one is used for testing and one for validation. "
            "Ask for 3 or more."
        )
    tests = [test for _, test in k_folds(manifest, k, seed)]
    shares = ((k - 2) / k, 1 / k, 1 / k)
    found = []
    for number, test in enumerate(tests):
        # The validation fold moves with the test fold, so that each case is used once for either.
        part = np.where(test, 2, np.where(tests[(number + 1) % k], 1, 0)).astype(np.int64)
        one = with_split(manifest, part, "by case", shares, seed, True, split_by_case_warning(manifest))
        how = {**one.settings["split"], "fold": number + 1, "folds": k}
        found.append(replace(one, settings={**one.settings, "split": how}))
    return tuple(found)
