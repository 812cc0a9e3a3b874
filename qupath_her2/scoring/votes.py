"""From the class probabilities of patches to one class of a region or an image, by a rule that is stated.

No guideline speaks of patches: what comes out is what a network says, never a HER2 score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ScoringError, SettingsError

__all__ = ["RULES", "Vote", "VoteSettings", "named_patches", "vote"]

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
    rule : ``mean`` (Mridha et al. 2023 and others take one image for one patch, where both rules agree) or
        ``majority`` (Chauhan et al. 2025, approach 3).
    min_patches : with fewer readable patches there is no class.
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
    class_index : None with too few patches, or where none of them has a class.
    probabilities : float64 (C,): the mean over readable patches, or with ``majority`` each class's share of the
        named ones; NaN where there are none.
    n_patches : readable ones.
    n_named : those with a class: readable and not left unnamed for doubt.
    """

    class_index: int | None
    probabilities: NDArray[np.float64]
    n_patches: int
    n_named: int


def named_patches(probabilities: NDArray[np.float32], abstain_below: float) -> NDArray[np.int64]:
    """Return the class of each patch, int64 (N,).

    Parameters
    ----------
    probabilities : (N, C), 0..1; a row with NaN was not read.
    abstain_below : a patch whose best probability is smaller stays unnamed; 0 names all.

    Returns
    -------
    Class index, -1 for unread and unnamed patches.
    """
    _check(probabilities)
    is_read = _read(probabilities)
    known = np.where(is_read[:, None], probabilities, -1.0)
    best = known.argmax(axis=1)
    is_sure = known[np.arange(len(known)), best] >= abstain_below
    return np.where(is_read & is_sure, best, -1).astype(np.int64)


def vote(
    probabilities: NDArray[np.float32], *, settings: VoteSettings | None = None, abstain_below: float = 0.0
) -> Vote:
    """Return the class that patches speak for together.

    Parameters
    ----------
    probabilities : (N, C), 0..1; rows with NaN are left out.
    settings : the rule.
    abstain_below : as for `named_patches`; unnamed patches have no voice in ``majority``, and count in ``mean``.

    Raises
    ------
    ScoringError
        `probabilities` is not (N, C) with values in 0..1.
    """
    settings = settings or VoteSettings()
    named = named_patches(probabilities, abstain_below)
    read = probabilities[_read(probabilities)].astype(np.float64)
    n_classes = probabilities.shape[1]
    counts = np.bincount(named[named >= 0], minlength=n_classes)
    n_named = int(counts.sum())
    mean = read.mean(axis=0) if len(read) else np.full(n_classes, np.nan)
    if settings.rule == "majority":
        shares = counts / n_named if n_named else np.full(n_classes, np.nan)
        order = np.lexsort((mean, counts))
        has_class, best = n_named > 0, int(order[-1])
    else:
        shares, has_class = mean, n_named > 0
        best = int(mean.argmax()) if has_class else 0
    is_enough = has_class and len(read) >= settings.min_patches
    return Vote(best if is_enough else None, shares, len(read), n_named)


def _read(probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(probabilities).all(axis=1))


def _check(probabilities: NDArray[np.float32]) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ScoringError(f"Probabilities have shape {probabilities.shape}, expected (patches, classes).")
    known = probabilities[np.isfinite(probabilities)]
    # Softmax in half precision may end a hair above 1.
    if len(known) and (known.min() < 0 or known.max() > 1.001):
        raise ScoringError(f"A probability of {known.max():g} or {known.min():g} is outside 0..1.")
