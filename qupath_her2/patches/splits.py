"""Train, validation and test: by case, so that no patient stands on two sides; by patch only under that name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import PatchError, SettingsError
from qupath_her2.patches.table import SPLITS, PatchManifest

__all__ = [
    "PATCH_LEVEL",
    "case_groups",
    "case_strata",
    "checked_shares",
    "leaked_cases",
    "rank_by_chance",
    "split_by_case",
    "split_by_patch",
    "split_warning",
    "unknown_cases",
    "unknown_warning",
    "with_split",
]

#: What every figure is called where patients may stand on both sides.
PATCH_LEVEL = "patch-level, leakage possible"

_Ints = NDArray[np.int64]


def case_groups(manifest: PatchManifest) -> tuple[_Ints, tuple[str, ...]]:
    """Return which case each patch belongs to.

    An image whose case nobody knows is a case of its own: the best that can be done, and never enough.

    Returns
    -------
    group
        int64 (N,), index into `names`.
    names
        The case, or ``image <name>`` where it is unknown; sorted.
    """
    own = [image.case if image.case is not None else f"image {image.name}" for image in manifest.images]
    names = tuple(sorted({own[index] for index in np.unique(manifest.image).tolist()}))
    place = {name: number for number, name in enumerate(names)}
    by_image = np.array([place.get(name, -1) for name in own], np.int64)
    return by_image[manifest.image] if len(own) else np.zeros(0, np.int64), names


def unknown_cases(manifest: PatchManifest) -> int:
    """Return how many images with patches have no known case."""
    return sum(manifest.images[index].case is None for index in np.unique(manifest.image).tolist())


def split_warning(manifest: PatchManifest) -> str | None:
    """Return the sentence that figures of this manifest's split must carry; None where cases were split."""
    warning = manifest.settings.get("split", {}).get("warning")
    return None if warning is None else str(warning)


def split_by_case(
    manifest: PatchManifest,
    shares: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    stratify: bool = True,
) -> PatchManifest:
    """Return the manifest with whole cases put into train, validation and test.

    Cases are taken in an order that the seed and their names decide, so a case stays where it is when images
    are listed in another order.

    Parameters
    ----------
    manifest
        Patches, labelled or not.
    shares
        Of the cases, for train, validation, test; sum 1; 0 leaves a part empty.
    seed
        Another seed, another split.
    stratify
        Keep the shares within the cases of each class (the most frequent label of a case).

    Raises
    ------
    PatchError
        Fewer cases than parts.
    SettingsError
        `shares` are not three shares of 1.
    """
    wanted = checked_shares(shares)
    group, names = case_groups(manifest)
    parts = int((wanted > 0).sum())
    if len(names) < parts:
        raise PatchError(
            f"{len(names)} cases cannot be split into {parts} parts by case ({', '.join(names) or 'no patch'}). "
            "Add cases, give a part the share 0, or split by patch (--split by-patch), which is patch-level and "
            "may leak."
        )
    strata = case_strata(manifest, group, len(names)) if stratify else np.zeros(len(names), np.int64)
    part_of_case = _allot(names, strata, wanted, seed)
    return with_split(
        manifest, part_of_case[group], "by case", shares, seed, stratify, unknown_warning(manifest)
    )


def split_by_patch(
    manifest: PatchManifest, shares: Sequence[float] = (0.6, 0.2, 0.2), seed: int = 0
) -> PatchManifest:
    """Return the manifest with patches put into train, validation and test whatever their case.

    As the published by-patch figures were made: patients stand on both sides, so `split_warning` says so.
    The shares hold within each label. Raises as `split_by_case`.
    """
    wanted = checked_shares(shares)
    rng = np.random.default_rng(seed)
    split = np.full(len(manifest), -1, np.int64)
    for label in np.unique(manifest.label):
        rows = rng.permutation(np.flatnonzero(manifest.label == label))
        ends = np.rint(np.cumsum(wanted) * len(rows)).astype(int)
        for part, rows_of_part in enumerate(np.split(rows, ends[:-1])):
            split[rows_of_part] = part
    warning = f"Split by patch: figures are {PATCH_LEVEL}."
    return with_split(manifest, split, "by patch", shares, seed, True, warning)


def leaked_cases(manifest: PatchManifest) -> tuple[str, ...]:
    """Return the cases with patches in more than one part, ``image <name>`` where the case is unknown; sorted."""
    group, names = case_groups(manifest)
    is_split = manifest.split >= 0
    pairs = np.unique(np.stack([group[is_split], manifest.split[is_split].astype(np.int64)], 1), axis=0)
    cases, counts = np.unique(pairs[:, 0], return_counts=True)
    return tuple(names[case] for case in cases[counts > 1].tolist())


def unknown_warning(manifest: PatchManifest) -> str | None:
    """Return the sentence about images whose case nobody knows; None where all are known."""
    n = unknown_cases(manifest)
    if n == 0:
        return None
    what = "image has" if n == 1 else "images have"
    return f"{n} {what} no known case, each was taken for one of its own: figures are {PATCH_LEVEL}."


def with_split(
    manifest: PatchManifest,
    split: _Ints,
    kind: str,
    shares: Sequence[float],
    seed: int,
    stratify: bool,
    warning: str | None,
) -> PatchManifest:
    """Return the manifest with this split, int64 (N,), and how it came about among its settings."""
    how: dict[str, Any] = {"kind": kind, "shares": [float(share) for share in shares], "seed": seed}
    how |= {"stratify": stratify, "warning": warning}
    return replace(manifest, split=split.astype(np.int8), settings={**manifest.settings, "split": how})


def checked_shares(shares: Sequence[float]) -> NDArray[np.float64]:
    """Return shares of train, validation and test, float64 (3,); SettingsError where they do not make 1."""
    wanted = np.asarray(shares, np.float64)
    is_sound = wanted.shape == (len(SPLITS),) and (wanted >= 0).all() and abs(wanted.sum() - 1) < 1e-6
    if not is_sound:
        raise SettingsError(
            f"Shares {tuple(shares)} are not those of train, validation and test: three numbers from 0 that make 1, "
            "e.g. 0.6,0.2,0.2."
        )
    return wanted


def case_strata(manifest: PatchManifest, group: _Ints, n_cases: int) -> _Ints:
    """Return the most frequent label of each case, the lower one of equals; -1 for cases without labels."""
    n_classes = len(manifest.class_names)
    counts = np.zeros((n_cases, n_classes + 1), np.int64)
    np.add.at(counts, (group, manifest.label.astype(np.int64)), 1)
    labelled = counts[:, :n_classes]
    if n_classes == 0:
        return np.full(n_cases, -1, np.int64)
    return np.where(labelled.sum(1) > 0, labelled.argmax(1), -1)


def rank_by_chance(name: str, seed: int) -> bytes:
    """Return what orders cases by chance: the same on every machine and with every version of numpy."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogatepass")).digest()


def _allot(names: Sequence[str], strata: _Ints, wanted: NDArray[np.float64], seed: int) -> _Ints:
    """Return the part of each case; within a stratum the numbers differ from the shares by less than one case."""
    part = np.empty(len(names), np.int64)
    given = np.zeros(len(wanted))
    total = 0
    for stratum in np.unique(strata).tolist():
        cases = sorted(
            np.flatnonzero(strata == stratum).tolist(), key=lambda case: rank_by_chance(names[case], seed)
        )
        total += len(cases)
        quota = np.floor(wanted * len(cases) + 1e-9).astype(int)
        # What rounding leaves over goes where all classes together are shortest of their share.
        short = wanted * total - given - quota
        for _ in range(len(cases) - quota.sum()):
            most = int(np.argmax(np.where(wanted * len(cases) - quota > 1e-9, short, -np.inf)))
            quota[most] += 1
            short[most] -= 1
        given += quota
        part[cases] = np.repeat(np.arange(len(wanted)), quota)
    return _none_empty(part, strata, wanted)


def _none_empty(part: _Ints, strata: _Ints, wanted: NDArray[np.float64]) -> _Ints:
    """Give a part that rounding left empty a case of the fullest part, from its most frequent class."""
    for missing in np.flatnonzero(wanted > 0).tolist():
        if (part == missing).any():
            continue
        fullest = int(np.argmax(np.bincount(part, minlength=len(wanted))))
        there = np.flatnonzero(part == fullest)
        values, counts = np.unique(strata[there], return_counts=True)
        part[there[strata[there] == values[np.argmax(counts)]][-1]] = missing
    return part
