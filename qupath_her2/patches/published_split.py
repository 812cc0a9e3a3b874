"""Published splits, used as a data set has them; where they lack a validation part, the training part gives one.

The best epoch has to be chosen on some part. Chosen on the published test part, it would inflate the figures of that
part; without any, the weights with the lowest training loss are kept, which overfit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from qupath_her2.patches.splits import (
    PATCH_LEVEL,
    assign_cases,
    case_groups,
    case_strata,
    checked_shares,
    count_unknown_cases,
    leaked_cases,
)
from qupath_her2.patches.table import SPLITS, PatchManifest, select

__all__ = ["split_as_published", "split_words"]

#: Indices into `SPLITS`.
_TRAIN, _VALIDATION, _TEST = 0, 1, 2


def split_as_published(
    manifest: PatchManifest, shares: Sequence[float], seed: int = 0, stratify: bool = True
) -> PatchManifest:
    """Return the manifest with its published split and, where that has no validation part, one from its training part.

    The rule: whole cases of the training part, within each class in the order of a hash of their names and the seed; an
    image without a case id counts as a case of its own. The share is that of validation among training and validation
    in `shares`: a ninth for 80/10/10. The published test part stays as it is.

    Parameters
    ----------
    manifest
        N patches, with their published split.
    shares
        Shares of train, validation and test, summing to 1; a validation share of 0 takes none.
    seed
        Seed of the choice.
    stratify
        Keep the share within each class.

    Returns
    -------
    PatchManifest
        With `split` set; the rule and any warning are in ``settings["split"]``.

    Raises
    ------
    SettingsError
        `shares` are not three non-negative numbers that sum to 1.
    """
    wanted = checked_shares(shares)
    # Before validation is taken out: what leaks then is the data set's own choice.
    leaked = leaked_cases(manifest)
    split, rule = manifest.split, None
    if wanted[_VALIDATION] > 0 and not (split == _VALIDATION).any():
        split, rule = _with_validation(manifest, wanted, seed, stratify)
    how = {"kind": "as published", "shares": list(map(float, shares)), "seed": seed, "stratify": stratify}
    how |= {"validation": rule, "warning": _warning(manifest, leaked)}
    return replace(manifest, split=split, settings={**manifest.settings, "split": how})


def _with_validation(
    manifest: PatchManifest, wanted: NDArray[np.float64], seed: int, stratify: bool
) -> tuple[NDArray[np.int8], str | None]:
    """Return the split with some cases of train moved to validation, and the rule in words; None with too few cases."""
    rows = np.flatnonzero(manifest.split == _TRAIN)
    training = select(manifest, rows)
    group, names = case_groups(training)
    if len(names) < 2:
        return manifest.split, None
    both = wanted[:_TEST] / wanted[:_TEST].sum()
    strata = case_strata(training, group, len(names)) if stratify else np.zeros(len(names), np.int64)
    split = manifest.split.copy()
    split[rows] = assign_cases(names, strata, both, seed)[group]
    unknown, n_images = count_unknown_cases(training), len(np.unique(training.image))
    what = "cases" if unknown == 0 else "images" if unknown == n_images else "cases, images without one"
    order = "within each class " if stratify else ""
    return split, (
        f"{100 * both[_VALIDATION]:.3g} % of the training {what}, drawn {order}by a hash of their names"
    )


def _warning(manifest: PatchManifest, leaked: Sequence[str]) -> str | None:
    unknown = count_unknown_cases(manifest)
    if leaked:
        return (
            f"Split as published, with {len(leaked)} cases in both training and test: figures are {PATCH_LEVEL}. "
            "A split by case keeps them apart."
        )
    return (
        f"Split as published; {unknown} images have no case id: figures are {PATCH_LEVEL}."
        if unknown
        else None
    )


def split_words(manifest: PatchManifest) -> str:
    """Return the split that was used, in words, for cards and reports: how it was made, and the size of each part."""
    how = manifest.settings.get("split", {})
    parts = []
    for code, name in enumerate(SPLITS):
        rows = manifest.split == code
        cases = {manifest.cases[index] for index in np.unique(manifest.image[rows]).tolist()} - {None}
        known = f" of {len(cases):,} known cases" if cases else ""
        parts.append(f"{name} {int(rows.sum()):,}{known}")
    rule = f"; validation: {how['validation']}" if how.get("validation") else ""
    fold = f", fold {how['fold']} of {how['folds']}" if "fold" in how else ""
    return f"{how.get('kind', 'not split')}{fold}{rule}; {', '.join(parts)}"
