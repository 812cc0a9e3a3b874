"""After training, on validation patches: probabilities that mean what they say, and when to say nothing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from qupath_her2.errors import SettingsError

__all__ = ["abstention_threshold", "fit_temperature", "mean_log_loss", "apply_temperature"]

#: Temperatures looked at: beyond a hundredfold a network knows nothing, and calibration cannot help it.
_RANGE = (0.01, 100.0)
_TINY = 1e-30


def apply_temperature(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return probabilities at another temperature: those of ``log p / temperature``.

    Parameters
    ----------
    probabilities
        float (N, C), rows sum to 1; a row of NaN stays one.
    temperature
        Above 0; over 1 makes them less sure, the order of classes stays.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, C)
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), _TINY)) / temperature
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    scaled: NDArray[np.float32] = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled


def mean_log_loss(probabilities: NDArray[np.float32], labels: NDArray[np.int16]) -> float:
    """Return the mean negative log-likelihood of the labels, in nats; float (N, C) and int (N,)."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(of_label, _TINY)).mean())


def fit_temperature(probabilities: NDArray[np.float32], labels: NDArray[np.int16]) -> float:
    """Return the temperature under which probabilities are most likely, after Guo et al. [1]_.

    One number for all classes: it cannot change which class is chosen. Fit it on patches the network did not
    learn from, and multiply the card's own temperature by it.

    Parameters
    ----------
    probabilities
        float (N, C), of patches that were read; rows of NaN are left out.
    labels
        int (N,), -1 (no label) is left out.

    Raises
    ------
    SettingsError
        No labelled patch with probabilities.

    References
    ----------
    .. [1] Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of modern neural networks. ICML 2017.
       arXiv:1706.04599
    """
    known, truth = _labelled(probabilities, labels)

    def loss(log_temperature: float) -> float:
        return mean_log_loss(apply_temperature(known, math.exp(log_temperature)), truth)

    bounds = (math.log(_RANGE[0]), math.log(_RANGE[1]))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    # A search by brackets may stop beside the very value that changes nothing.
    return float(math.exp(found.x)) if loss(found.x) < loss(0.0) else 1.0


def abstention_threshold(
    probabilities: NDArray[np.float32], labels: NDArray[np.int16], least_accuracy: float
) -> float:
    """Return the least probability from which on named classes are right often enough.

    Parameters
    ----------
    probabilities
        float (N, C), calibrated; rows of NaN are left out.
    labels
        int (N,), -1 (no label) is left out.
    least_accuracy
        Share of right ones wanted among the patches that are named, 0..1.

    Returns
    -------
    float
        In 0..1, for `ModelCard.abstain_below`: 0 where all may be named, 1 where no threshold does.

    Raises
    ------
    SettingsError
        No labelled patch with probabilities, or `least_accuracy` outside 0..1.
    """
    if not 0 <= least_accuracy <= 1:
        raise SettingsError(f"least_accuracy = {least_accuracy!r} is not in 0..1.")
    known, truth = _labelled(probabilities, labels)
    best = known.max(axis=1).astype(np.float64)
    falling = np.argsort(-best, kind="stable")
    right = np.cumsum((known.argmax(axis=1) == truth)[falling]) / np.arange(1, len(truth) + 1)
    # Patches of one probability are named together or not at all.
    last_of_its_kind = np.append(np.diff(best[falling]) != 0, True)
    enough = np.flatnonzero(last_of_its_kind & (right >= least_accuracy))
    if len(enough) == 0:
        return 1.0
    return 0.0 if enough[-1] == len(truth) - 1 else float(best[falling][enough[-1]])


def _labelled(
    probabilities: NDArray[np.float32], labels: NDArray[np.int16]
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    use = (labels >= 0) & np.isfinite(probabilities).all(axis=1)
    if not use.any():
        raise SettingsError(
            f"None of {len(labels)} patches has both a label and probabilities. Give labelled validation patches."
        )
    return probabilities[use], labels[use]
