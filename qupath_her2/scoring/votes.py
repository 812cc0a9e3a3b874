"""Voting: one class for a region or an image from the class probabilities of its patches.

No guideline is defined on patches: the outcome is a network's prediction, never a HER2 score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ScoringError
from qupath_her2.setting_ranges import Range, check_settings

__all__ = ["RULES", "Vote", "VoteSettings", "vote"]

#: Each rule in the words that results report.
RULES = {
    "mean": "highest mean of the patches' probabilities",
    "majority": "most frequent class of the patches; the mean probability decides a tie",
}


@dataclass(frozen=True, slots=True)
class VoteSettings:
    """Settings of the vote.

    Attributes
    ----------
    rule
        ``mean`` (Mridha et al. 2023 and others have one patch per image, where both rules agree) or
        ``majority`` (Chauhan et al. 2025, approach 3).
    min_patches
        Fewest readable patches that give a class.
    """

    rule: Literal["mean", "majority"] = "mean"
    min_patches: Annotated[int, Range(1, 1_000_000, "patches")] = 1

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class Vote:
    """Outcome of a vote.

    Attributes
    ----------
    class_index
        None if there are too few patches, or none with a class.
    probabilities
        float64 (C,): mean over the readable patches, or with ``majority`` each class's share of the
        classified patches; NaN where there are none.
    n_patches
        Number of readable patches.
    n_classified
        Number of classified patches: readable, and not left without a class as too uncertain.
    """

    class_index: int | None
    probabilities: NDArray[np.float64]
    n_patches: int
    n_classified: int


def vote(
    probabilities: NDArray[np.float32],
    patch_class: NDArray[np.int16],
    *,
    settings: VoteSettings | None = None,
) -> Vote:
    """Combine patch predictions into one class.

    Parameters
    ----------
    probabilities
        float32 (N, C), 0..1; rows with NaN (unreadable patches) are left out.
    patch_class
        int16 (N,), class index of each patch, negative for none (`learning.choose_classes`). Patches without
        a class have no vote in ``majority`` but count in ``mean``.
    settings
        The rule and the minimum number of patches.

    Returns
    -------
    Vote
        Class, probabilities, and the numbers of patches behind them.

    Raises
    ------
    ScoringError
        `probabilities` is not (N, C) with values in 0..1, or `patch_class` does not match it.
    """
    settings = settings or VoteSettings()
    _check(probabilities, patch_class)
    is_readable = np.asarray(np.isfinite(probabilities).all(axis=1))
    readable = probabilities[is_readable].astype(np.float64)
    n_classes = probabilities.shape[1]
    # A patch can be readable and still have no class, where the network was too uncertain.
    counts = np.bincount(patch_class[is_readable & (patch_class >= 0)], minlength=n_classes)
    n_classified = int(counts.sum())
    mean = readable.mean(axis=0) if len(readable) else np.full(n_classes, np.nan)
    shares = mean
    if settings.rule == "majority":
        shares = counts / n_classified if n_classified else np.full(n_classes, np.nan)
    # lexsort takes its last key first: share, then the mean probability for ties.
    best = int(np.lexsort((mean, shares))[-1])
    # With no classified patch the mean would still have a maximum; the network abstained, so the vote does too.
    is_enough = n_classified > 0 and len(readable) >= settings.min_patches
    return Vote(best if is_enough else None, shares, len(readable), n_classified)


def _check(probabilities: NDArray[np.float32], patch_class: NDArray[np.int16]) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ScoringError(f"Probabilities have shape {probabilities.shape}, expected (patches, classes).")
    if patch_class.shape != probabilities.shape[:1] or (patch_class >= probabilities.shape[1]).any():
        raise ScoringError(
            f"Patch classes of shape {patch_class.shape} do not match probabilities of shape {probabilities.shape}."
        )
    known = probabilities[np.isfinite(probabilities)]
    # Softmax in half precision can exceed 1 by rounding.
    if len(known) and (known.min() < 0 or known.max() > 1.001):
        raise ScoringError(f"A probability of {known.max():g} or {known.min():g} is outside 0..1.")
