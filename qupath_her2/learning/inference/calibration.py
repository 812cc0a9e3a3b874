"""Calibration on validation patches: temperature scaling, and the threshold below which no class is assigned."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import softmax

from qupath_her2.errors import SettingsError

__all__ = ["abstention_threshold", "fit_temperature", "mean_log_loss", "apply_temperature"]

#: Range of temperatures searched: a network that would need more than a factor of 100 has learned nothing.
_RANGE = (0.01, 100.0)
#: Smallest probability before taking logarithms; float32 reaches 1e-38.
_TINY = 1e-30


def apply_temperature(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return probabilities at another temperature: the softmax of ``log p / temperature``.

    Parameters
    ----------
    probabilities
        float (N, C), rows sum to 1; rows of NaN stay NaN.
    temperature
        Above 0; values over 1 make the network less confident. The order of the classes does not change.

    Returns
    -------
    NDArray[np.float32]
        float32 (N, C)
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), _TINY)) / temperature
    scaled: NDArray[np.float32] = softmax(logits, axis=1).astype(np.float32)
    return scaled


def mean_log_loss(probabilities: NDArray[np.float32], labels: NDArray[np.int16]) -> float:
    """Return the mean negative log-likelihood of the labels, in nats; float (N, C) and int (N,)."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(of_label, _TINY)).mean())


def fit_temperature(probabilities: NDArray[np.float32], labels: NDArray[np.int16]) -> float:
    """Return the temperature that minimises the negative log-likelihood of the labels [1]_.

    One temperature for all classes cannot change which class is predicted. Fit it on patches that the network was not
    trained on, and multiply the card's temperature by it.

    Parameters
    ----------
    probabilities
        float (N, C); rows of NaN are ignored.
    labels
        int (N,), true classes; -1 (unlabelled) is ignored.

    Returns
    -------
    float
        The temperature; 1 if no other one is better.

    Raises
    ------
    SettingsError
        No patch has both a label and probabilities.

    References
    ----------
    .. [1] Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of modern neural networks. ICML 2017.
       arXiv:1706.04599
    """
    known, truth = _labelled(probabilities, labels)

    def loss(log_temperature: float) -> float:
        return mean_log_loss(apply_temperature(known, math.exp(log_temperature)), truth)

    # On a log scale, on which halving and doubling confidence are equally far.
    bounds = (math.log(_RANGE[0]), math.log(_RANGE[1]))
    found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    # The bounded search may stop next to 1, where no calibration is the better answer.
    return float(math.exp(found.x)) if loss(found.x) < loss(0.0) else 1.0


def abstention_threshold(
    probabilities: NDArray[np.float32], labels: NDArray[np.int16], least_accuracy: float
) -> float:
    """Return the smallest probability at which the accuracy of the remaining patches is high enough.

    Parameters
    ----------
    probabilities
        float (N, C), calibrated; rows of NaN are ignored.
    labels
        int (N,), true classes; -1 (unlabelled) is ignored.
    least_accuracy
        Required accuracy of the patches that get a class, 0..1.

    Returns
    -------
    float
        0..1, for `ModelCard.abstain_below`: 0 if all patches may get a class, 1 if no threshold suffices.

    Raises
    ------
    SettingsError
        No patch has both a label and probabilities, or `least_accuracy` is outside 0..1.
    """
    if not 0 <= least_accuracy <= 1:
        raise SettingsError(f"least_accuracy = {least_accuracy!r} must be in 0..1.")
    known, truth = _labelled(probabilities, labels)
    best = known.max(axis=1).astype(np.float64)
    # Accuracy of the k most confident patches, for every k.
    falling = np.argsort(-best, kind="stable")
    right = np.cumsum((known.argmax(axis=1) == truth)[falling]) / np.arange(1, len(truth) + 1)
    # Patches of equal probability are on the same side of any threshold.
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
            f"None of {len(labels)} patches has both a label and probabilities. Provide labelled validation patches."
        )
    return probabilities[use], labels[use]
