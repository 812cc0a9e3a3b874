"""From the class probabilities of patches to one class of a region or an image, by a rule that is stated.

No guideline speaks of patches: what comes out is what a network says, never a HER2 score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ScoringError, SettingsError

__all__ = ["RULES", "Vote", "VoteSettings", "vote"]

#: Each rule in the words that a result carries.
RULES = {
    "mean": "highest mean of the patches' probabilities",
    "majority": "most frequent class of the patches; the mean probability decides a tie",
}


@dataclass(frozen=True, slots=True)
class VoteSettings:
    """How patches decide.

    Attributes
    ----------
    rule
        ``mean`` (Mridha et al. 2023 and others take one image for one patch, where both rules agree) or
        ``majority`` (Chauhan et al. 2025, approach 3).
    min_patches
        With fewer readable patches there is no class.
    """

    rule: Literal["mean", "majority"] = "mean"
    min_patches: int = 1

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise SettingsError(f"Unknown rule {self.rule!r}. There are: {', '.join(RULES)}.")
        if self.min_patches < 1:
            raise SettingsError(f"min_patches is {self.min_patches}; it must be at least 1.")


@dataclass(frozen=True, slots=True)
class Vote:
    """What patches say together.

    Attributes
    ----------
    class_index
        None with too few patches, or where none of them has a class.
    probabilities
        float64 (C,): the mean over readable patches, or with ``majority`` each class's share of the
        named ones; NaN where there are none.
    n_patches
        Readable ones.
    n_named
        Those with a class: readable and not left unnamed for doubt.
    """

    class_index: int | None
    probabilities: NDArray[np.float64]
    n_patches: int
    n_named: int


def vote(
    probabilities: NDArray[np.float32], named: NDArray[np.int16], *, settings: VoteSettings | None = None
) -> Vote:
    """Return the class that patches speak for together.

    Parameters
    ----------
    probabilities
        (N, C), 0..1; rows with NaN are left out.
    named
        (N,), class index of each patch, below 0 for none (`learning.choose_classes`); unnamed patches have no
        voice in ``majority``, and count in ``mean``.
    settings
        The rule.

    Raises
    ------
    ScoringError
        `probabilities` is not (N, C) with values in 0..1, or `named` does not fit it.
    """
    settings = settings or VoteSettings()
    _check(probabilities, named)
    is_read = np.asarray(np.isfinite(probabilities).all(axis=1))
    read = probabilities[is_read].astype(np.float64)
    n_classes = probabilities.shape[1]
    counts = np.bincount(named[is_read & (named >= 0)], minlength=n_classes)
    n_named = int(counts.sum())
    mean = read.mean(axis=0) if len(read) else np.full(n_classes, np.nan)
    shares = mean
    if settings.rule == "majority":
        shares = counts / n_named if n_named else np.full(n_classes, np.nan)
    best = int(np.lexsort((mean, shares))[-1])
    is_enough = n_named > 0 and len(read) >= settings.min_patches
    return Vote(best if is_enough else None, shares, len(read), n_named)


def _check(probabilities: NDArray[np.float32], named: NDArray[np.int16]) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ScoringError(f"Probabilities have shape {probabilities.shape}, expected (patches, classes).")
    if named.shape != probabilities.shape[:1] or (named >= probabilities.shape[1]).any():
        raise ScoringError(
            f"Classes of shape {named.shape} do not fit probabilities of {probabilities.shape}."
        )
    known = probabilities[np.isfinite(probabilities)]
    # Softmax in half precision may end a hair above 1.
    if len(known) and (known.min() < 0 or known.max() > 1.001):
        raise ScoringError(f"A probability of {known.max():g} or {known.min():g} is outside 0..1.")
