"""Folds of a cross-validation: by case, so that every case is tested once and never stands on two sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import PatchError
from qupath_her2.patches.splits import case_groups, case_strata, rank_by_chance, unknown_warning, with_split
from qupath_her2.patches.table import PatchManifest

__all__ = ["fold_splits", "k_folds"]


def k_folds(
    manifest: PatchManifest, k: int, seed: int = 0
) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return k (train, test) masks, bool (N,) each: every case is in the test of exactly one fold.

    Folds are stratified by the most frequent label of each case and differ by at most one case.

    Parameters
    ----------
    manifest
        patches.
    k
        Number of folds, >= 2.
    seed
        Another seed, other folds.

    Raises
    ------
    PatchError
        Fewer cases than folds, or k below 2.
    """
    group, names = case_groups(manifest)
    if not 2 <= k <= len(names):
        raise PatchError(f"{len(names)} cases cannot make {k} folds: at least 2 folds, and a case for each.")
    strata = case_strata(manifest, group, len(names))
    # Dealt out like cards, on through the classes, so that folds stay equal in number.
    order = sorted(range(len(names)), key=lambda case: (strata[case], rank_by_chance(names[case], seed)))
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % k
    tests = [fold[group] == number for number in range(k)]
    return [(~test, test) for test in tests]


def fold_splits(manifest: PatchManifest, k: int, seed: int = 0) -> tuple[PatchManifest, ...]:
    """Return the manifest split k times: a fold to test, the next to validate, the rest to train.

    With ten folds that is the 80/10/10 of Chauhan et al. 2025; every case is tested once, never on two sides at once.

    Parameters
    ----------
    manifest
        Patches; a split of their own is forgotten.
    k
        Number of folds, >= 3.
    seed
        Another seed, other folds.

    Raises
    ------
    PatchError
        Fewer cases than folds, or k below 3.
    """
    if k < 3:
        raise PatchError(
            f"{k} folds leave nothing to train on beside a fold to test and one to validate: take 3 or more."
        )
    tests = [test for _, test in k_folds(manifest, k, seed)]
    shares = ((k - 2) / k, 1 / k, 1 / k)
    found = []
    for number, test in enumerate(tests):
        part = np.where(test, 2, np.where(tests[(number + 1) % k], 1, 0)).astype(np.int64)
        one = with_split(manifest, part, "by case", shares, seed, True, unknown_warning(manifest))
        how = {**one.settings["split"], "fold": number + 1, "folds": k}
        found.append(replace(one, settings={**one.settings, "split": how}))
    return tuple(found)
