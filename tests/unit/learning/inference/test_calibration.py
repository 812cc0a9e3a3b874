from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from qupath_her2.errors import SettingsError
from qupath_her2.learning.inference.calibration import (
    abstention_threshold,
    apply_temperature,
    fit_temperature,
    mean_log_loss,
)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def known_temperature(
    temperature: float, n: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """Labels drawn from a softmax, and the probabilities of a network overconfident by the factor `temperature`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 4))
    true = softmax(logits)
    labels = np.array([rng.choice(4, p=p / p.sum()) for p in true.astype(np.float64)], np.int16)
    return softmax(logits * temperature), labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_known_temperature_is_found_and_helps_on_held_out_patches(temperature: float) -> None:
    probabilities, labels = known_temperature(temperature, 4000)
    found = fit_temperature(probabilities[:2000], labels[:2000])
    assert found == pytest.approx(temperature, rel=0.1)
    held_out, truth = probabilities[2000:], labels[2000:]
    before, after = mean_log_loss(held_out, truth), mean_log_loss(apply_temperature(held_out, found), truth)
    assert after < before + 1e-3
    if temperature != 1.0:
        assert after < before - 0.02


def test_temperature_divides_the_logits_and_keeps_the_order() -> None:
    logits = np.random.default_rng(1).normal(0, 3, (50, 5))
    assert np.allclose(apply_temperature(softmax(logits), 2.0), softmax(logits / 2), atol=1e-6)
    assert np.array_equal(apply_temperature(softmax(logits), 7.0).argmax(1), softmax(logits).argmax(1))
    unread = np.full((1, 3), np.nan, np.float32)
    assert np.isnan(apply_temperature(unread, 2.0)).all()


def test_unread_and_unlabelled_patches_do_not_count() -> None:
    probabilities, labels = known_temperature(2.0, 500)
    more = np.vstack([probabilities, np.full((3, 4), np.nan), np.full((1, 4), 0.25)]).astype(np.float32)
    with_more = np.concatenate([labels, [0, 1, 2, -1]]).astype(np.int16)
    assert fit_temperature(more, with_more) == fit_temperature(probabilities, labels)
    with pytest.raises(SettingsError, match="None of 4 patches"):
        fit_temperature(more[-4:], with_more[-4:])


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_the_threshold_is_the_lowest_that_reaches_the_accuracy(seed: int, asked: float) -> None:
    rng = np.random.default_rng(seed)
    probabilities = np.round(softmax(rng.normal(0, 2, (30, 3))), 2)
    labels = rng.integers(0, 3, 30).astype(np.int16)
    threshold = abstention_threshold(probabilities, labels, asked)
    best, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    named = best >= threshold
    if named.any() and threshold < 1:
        assert right[named].mean() >= asked
    for lower in np.unique(best[best < threshold]):
        assert right[best >= lower].mean() < asked
    if threshold == 0:
        assert right.mean() >= asked


def test_threshold_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]], np.float32)
    labels = np.array([0, 0, 1, 0], np.int16)
    assert abstention_threshold(probabilities, labels, 1.0) == pytest.approx(0.8)
    assert abstention_threshold(probabilities, labels, 0.75) == 0.0
    assert abstention_threshold(probabilities, 1 - labels, 0.9) == 1.0
    with pytest.raises(SettingsError, match=r"must be in 0\.\.1"):
        abstention_threshold(probabilities, labels, 80)
