"""Train, validation and test splits: by case, so that no patient is in two parts; by patch only when asked for.

The assignment is our own instead of scikit-learn's `StratifiedGroupKFold`: a split is part of every published figure,
so it must not change with a library's version, and a case must keep its part when images are listed in another order.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import PatchError, SettingsError
from qupath_her2.patches.table import SPLITS, PatchManifest

__all__ = [
    "PATCH_LEVEL",
    "assign_cases",
    "case_groups",
    "case_strata",
    "checked_shares",
    "image_cases",
    "leaked_cases",
    "look_alike_warning",
    "may_leak",
    "shuffle_key",
    "split_by_case",
    "split_by_case_warning",
    "split_by_patch",
    "split_warning",
    "count_unknown_cases",
    "unknown_case_warning",
    "with_split",
]

#: Label of every figure where the same patient may be in train and test.
PATCH_LEVEL = "patch-level, leakage possible"

_Ints = NDArray[np.int64]


def case_groups(manifest: PatchManifest) -> tuple[_Ints, tuple[str, ...]]:
    """Return the case of each patch.

    An image without a case id counts as a case of its own. That is the best guess available, but two such images may
    still be of one patient (see `split_by_case_warning`). Case ids that look alike are one case, see `image_cases`.

    Returns
    -------
    group
        int64 (N,), index into `names`.
    names
        The case id, or ``image <name>`` where there is none; sorted.
    """
    # The prefix keeps an image's name from colliding with the case id of other images.
    own = [
        f"image {image.name}" if case is None else case
        for image, case in zip(manifest.images, image_cases(manifest), strict=True)
    ]
    names = tuple(sorted({own[index] for index in np.unique(manifest.image).tolist()}))
    place = {name: number for number, name in enumerate(names)}
    by_image = np.array([place.get(name, -1) for name in own], np.int64)
    return by_image[manifest.image] if len(own) else np.zeros(0, np.int64), names


def image_cases(manifest: PatchManifest) -> tuple[str | None, ...]:
    """Return the case id of each image; ids that look alike are written as the first of them in sorted order.

    ``P1``, ``p1`` and ``" P1"``, or ``007`` and ``7``, are most likely one patient typed twice. Taken for two, one
    could train and the other test, which nobody would see; taken for one, a split loses nothing.
    """
    by_key: dict[str, set[str]] = {}
    for case in {image.case for image in manifest.images if image.case is not None}:
        by_key.setdefault(_look_alike_key(case), set()).add(case)
    first = {case: min(group) for group in by_key.values() for case in group}
    return tuple(None if image.case is None else first[image.case] for image in manifest.images)


def _look_alike_key(case: str) -> str:
    """Return a case id without letter case, compatibility forms, outer and repeated spaces, and leading zeros."""
    folded = " ".join(unicodedata.normalize("NFKC", case).casefold().split())
    return re.sub(r"(?<!\d)0+(?=\d)", "", folded)


def look_alike_warning(manifest: PatchManifest) -> str | None:
    """Return a warning that lists case ids taken for one case because they look alike; None without any."""
    groups: dict[str, set[str]] = {}
    for image, case in zip(manifest.images, image_cases(manifest), strict=True):
        if image.case is not None and case is not None:
            groups.setdefault(case, set()).add(image.case)
    listed = [" = ".join(map(repr, sorted(group))) for _, group in sorted(groups.items()) if len(group) > 1]
    if not listed:
        return None
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    pairs = f"{'; '.join(listed[:5])}{more}"
    return f"Case ids that look alike were taken for one case: {pairs}. Correct them in cases.csv."


def count_unknown_cases(manifest: PatchManifest) -> int:
    """Return the number of images that have patches but no case id."""
    return sum(manifest.images[index].case is None for index in np.unique(manifest.image).tolist())


def split_warning(manifest: PatchManifest) -> str | None:
    """Return the warning to print with any figure computed on this split; None for a clean split by case."""
    warning = manifest.settings.get("split", {}).get("warning")
    return None if warning is None else str(warning)


def split_by_case(
    manifest: PatchManifest,
    shares: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    stratify: bool = True,
) -> PatchManifest:
    """Assign whole cases to train, validation and test.

    Cases are ordered by a hash of their name and the seed, so the split does not depend on the order of the images.

    Parameters
    ----------
    manifest
        Patches, labelled or not.
    shares
        Shares of the cases for train, validation and test, summing to 1; 0 leaves a part empty.
    seed
        Seed of the split.
    stratify
        Keep the shares within each class; the class of a case is its most frequent label.

    Returns
    -------
    PatchManifest
        The same patches with `split` set; the shares, the seed and any warning are in ``settings["split"]``.

    Raises
    ------
    PatchError
        There are fewer cases than non-empty parts.
    SettingsError
        `shares` are not three non-negative numbers that sum to 1.
    """
    wanted = checked_shares(shares)
    group, names = case_groups(manifest)
    parts = int((wanted > 0).sum())
    if len(names) < parts:
        raise PatchError(
            f"{len(names)} cases cannot be split into {parts} parts by case ({', '.join(names) or 'no patches'}). "
            "Add cases, set the share of a part to 0, or pass --split by-patch, whose figures are patch-level and "
            "may leak."
        )
    strata = case_strata(manifest, group, len(names)) if stratify else np.zeros(len(names), np.int64)
    part_of_case = assign_cases(names, strata, wanted, seed)
    return with_split(
        manifest, part_of_case[group], "by case", shares, seed, stratify, split_by_case_warning(manifest)
    )


def split_by_patch(
    manifest: PatchManifest, shares: Sequence[float] = (0.6, 0.2, 0.2), seed: int = 0
) -> PatchManifest:
    """Assign single patches to train, validation and test, whatever their case.

    Only for comparison with published figures that were computed this way: the same patient is in several parts, and
    `split_warning` says so.

    Parameters
    ----------
    manifest
        Patches, labelled or not.
    shares
        Shares of the patches for train, validation and test, summing to 1; they hold within each label.
    seed
        Seed of the split.

    Returns
    -------
    PatchManifest
        The same patches with `split` set and a warning in ``settings["split"]``.

    Raises
    ------
    SettingsError
        `shares` are not three non-negative numbers that sum to 1.
    """
    wanted = checked_shares(shares)
    rng = np.random.default_rng(seed)
    split = np.full(len(manifest), -1, np.int64)
    for label in np.unique(manifest.label):
        rows = rng.permutation(np.flatnonzero(manifest.label == label))
        # Rounded ends of the cumulated shares, so that the parts always add up to all rows.
        ends = np.rint(np.cumsum(wanted) * len(rows)).astype(int)
        for part, rows_of_part in enumerate(np.split(rows, ends[:-1])):
            split[rows_of_part] = part
    warning = f"Split by patch: figures are {PATCH_LEVEL}."
    return with_split(manifest, split, "by patch", shares, seed, True, warning)


def leaked_cases(manifest: PatchManifest) -> tuple[str, ...]:
    """Return the cases with patches in more than one part, sorted; ``image <name>`` for images without a case id."""
    group, names = case_groups(manifest)
    # Distinct pairs of case and part: a case with more than one pair is in more than one part.
    is_split = manifest.split >= 0
    pairs = np.unique(np.stack([group[is_split], manifest.split[is_split].astype(np.int64)], 1), axis=0)
    cases, counts = np.unique(pairs[:, 0], return_counts=True)
    return tuple(names[case] for case in cases[counts > 1].tolist())


def may_leak(manifest: PatchManifest) -> bool:
    """Return whether the split was asked for as one that may leak: by patch, or as a data set publishes it."""
    return manifest.settings.get("split", {}).get("kind") in ("by patch", "as published")


def split_by_case_warning(manifest: PatchManifest) -> str | None:
    """Return all that a split by case must warn of, in one text; None where every case is known and distinct."""
    warnings = [unknown_case_warning(manifest), look_alike_warning(manifest)]
    return " ".join(text for text in warnings if text is not None) or None


def unknown_case_warning(manifest: PatchManifest) -> str | None:
    """Return a warning that counts the images without a case id; None where all have one."""
    n = count_unknown_cases(manifest)
    if n == 0:
        return None
    what = "image has" if n == 1 else "images have"
    return f"{n} {what} no case id and counted as a case each: figures are {PATCH_LEVEL}."


def with_split(
    manifest: PatchManifest,
    split: _Ints,
    kind: str,
    shares: Sequence[float],
    seed: int,
    stratify: bool,
    warning: str | None,
) -> PatchManifest:
    """Return the manifest with a given split, recorded in its settings.

    Parameters
    ----------
    manifest
        N patches.
    split
        int64 (N,), index into `SPLITS`, -1 = not split.
    kind
        ``by case`` or ``by patch``.
    shares, seed, stratify
        Settings the split was computed with.
    warning
        See `split_warning`.

    Returns
    -------
    PatchManifest
        A copy with `split` and ``settings["split"]`` replaced.
    """
    how: dict[str, Any] = {"kind": kind, "shares": [float(share) for share in shares], "seed": seed}
    how |= {"stratify": stratify, "warning": warning}
    return replace(manifest, split=split.astype(np.int8), settings={**manifest.settings, "split": how})


def checked_shares(shares: Sequence[float]) -> NDArray[np.float64]:
    """Return the shares of train, validation and test, float64 (3,); SettingsError unless they sum to 1."""
    wanted = np.asarray(shares, np.float64)
    is_sound = wanted.shape == (len(SPLITS),) and (wanted >= 0).all() and abs(wanted.sum() - 1) < 1e-6
    if not is_sound:
        raise SettingsError(
            f"Shares {tuple(shares)} are not valid for train, validation and test. Give three numbers of at least 0 "
            "that sum to 1, e.g. 0.6,0.2,0.2."
        )
    return wanted


def case_strata(manifest: PatchManifest, group: _Ints, n_cases: int) -> _Ints:
    """Return the most frequent label of each case, by which a split is stratified.

    Parameters
    ----------
    manifest
        N patches.
    group
        int64 (N,), the case of each patch, from `case_groups`.
    n_cases
        Number of cases, C.

    Returns
    -------
    NDArray[np.int64]
        int64 (C,), class index, the lower one of a tie; -1 for cases without labels.
    """
    n_classes = len(manifest.class_names)
    # One column more than classes: label -1 indexes the last column, which is then left out.
    counts = np.zeros((n_cases, n_classes + 1), np.int64)
    np.add.at(counts, (group, manifest.label.astype(np.int64)), 1)
    labelled = counts[:, :n_classes]
    if n_classes == 0:
        return np.full(n_cases, -1, np.int64)
    return np.where(labelled.sum(1) > 0, labelled.argmax(1), -1)


def shuffle_key(name: str, seed: int) -> bytes:
    """Return a sort key that shuffles cases by the seed, the same on every machine and with every numpy version."""
    # File names of other systems may hold lone surrogates, which plain UTF-8 refuses.
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogatepass")).digest()


def assign_cases(names: Sequence[str], strata: _Ints, wanted: NDArray[np.float64], seed: int) -> _Ints:
    """Assign cases to parts; within a stratum the counts differ from the shares by less than one case.

    Parameters
    ----------
    names
        Names of the C cases, all different.
    strata
        int64 (C,), stratum of each case.
    wanted
        float64 (P,), shares of the parts, summing to 1.
    seed
        Seed of the assignment.

    Returns
    -------
    NDArray[np.int64]
        int64 (C,), index of the part; a part with a share above 0 has a case, as long as there are as many cases.
    """
    part = np.empty(len(names), np.int64)
    given = np.zeros(len(wanted))
    total = 0
    for stratum in np.unique(strata).tolist():
        cases = sorted(
            np.flatnonzero(strata == stratum).tolist(), key=lambda case: shuffle_key(names[case], seed)
        )
        total += len(cases)
        # The tolerance keeps products such as 0.29 * 100, a hair under 29 in floats, from losing a case.
        quota = np.floor(wanted * len(cases) + 1e-9).astype(int)
        # Left-over cases go to the part furthest below its share over all strata so far (largest remainder),
        # or many small strata would all round the same way and starve the small parts.
        short = wanted * total - given - quota
        for _ in range(len(cases) - quota.sum()):
            most = int(np.argmax(np.where(wanted * len(cases) - quota > 1e-9, short, -np.inf)))
            quota[most] += 1
            short[most] -= 1
        given += quota
        part[cases] = np.repeat(np.arange(len(wanted)), quota)
    return _fill_empty_parts(part, strata, wanted)


def _fill_empty_parts(part: _Ints, strata: _Ints, wanted: NDArray[np.float64]) -> _Ints:
    """Move a case into each part that rounding left empty, from the most frequent class of the fullest part."""
    for missing in np.flatnonzero(wanted > 0).tolist():
        if (part == missing).any():
            continue
        fullest = int(np.argmax(np.bincount(part, minlength=len(wanted))))
        there = np.flatnonzero(part == fullest)
        values, counts = np.unique(strata[there], return_counts=True)
        part[there[strata[there] == values[np.argmax(counts)]][-1]] = missing
    return part
