from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from qupath_her2.errors import TrainingError
from qupath_her2.learning.metrics.pixel_counts import PixelTally

NAMES = ("Background", "Membrane", "Nucleus")


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=0))
    return (shares / shares.sum(axis=0)).astype(np.float32)


def drawn(seed: int, sureness: float, shape: tuple[int, int] = (40, 50)) -> tuple[np.ndarray, np.ndarray]:
    """True classes with unlabelled pixels, and probabilities correlated with them."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, shape).astype(np.uint8)
    logits = rng.normal(size=(3, *shape)) + 1.2 * (np.arange(3)[:, None, None] == truth)
    truth[rng.random(shape) < 0.1] = 255
    return truth, softmax(sureness * logits)


def exact_auc(images: list[tuple[np.ndarray, np.ndarray]], code: int) -> float:
    truth = np.concatenate([t.ravel() for t, _ in images])
    values = np.concatenate([p[code].ravel() for _, p in images])
    return float(oracle.roc_auc_score(truth[truth != 255] == code, values[truth != 255]))


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 1.0, 5.0]))
def test_the_area_is_the_exact_one_but_for_ties(seed: int, sureness: float) -> None:
    images = [drawn(seed, sureness), drawn(seed + 1, sureness)]
    tally = PixelTally(NAMES)
    for truth, probabilities in images:
        tally.add(truth, probabilities)
    found = tally.roc_auc()
    for code in range(3):
        assert found[code] == pytest.approx(exact_auc(images, code), abs=2e-3)
    assert tally.pooled().mean_roc_auc == pytest.approx(np.mean(found))


def test_the_order_of_confident_predictions_is_kept() -> None:
    """Nine tenths of the pixels have probabilities that differ from the next in the fourth digit or later."""
    images = [drawn(3, 5.0)]
    tally = PixelTally(NAMES)
    tally.add(*images[0])
    even = np.minimum((images[0][1][1] * 50).astype(int), 49)
    truth = images[0][0]
    coarse = oracle.roc_auc_score(truth[truth != 255] == 1, even[truth != 255])
    exact = exact_auc(images, 1)
    assert abs(tally.roc_auc()[1] - exact) < 1e-3 < abs(coarse - exact)


def test_a_curve_worked_by_hand() -> None:
    tally = PixelTally(("rest", "own"))
    own = np.array([[0.9, 0.8, 0.8, 0.2]])
    tally.add(np.array([[1, 1, 0, 0]], np.uint8), np.stack([1 - own, own]))
    false, true = tally.roc_curve(1)
    points = sorted(set(zip(false.tolist(), true.tolist(), strict=True)))
    assert points == [(0, 0), (0, 0.5), (0.5, 1), (1, 1)]
    # Of four pairs three are in order and one is a tie.
    assert tally.roc_auc() == pytest.approx((3.5 / 4, 3.5 / 4))


def test_zero_and_one_are_probabilities() -> None:
    tally = PixelTally(("rest", "own"))
    own = np.array([[1.0, 0.0, 1.0, 0.0]])
    tally.add(np.array([[1, 0, 1, 0]], np.uint8), np.stack([1 - own, own]))
    assert tally.roc_auc() == (1.0, 1.0)
    assert tally.pooled().accuracy == 1.0


def test_groups_add_up_and_tallies_merge() -> None:
    whole, parts = PixelTally(NAMES), [PixelTally(NAMES), PixelTally(NAMES)]
    for number, group in enumerate(("0", "3+", "0", "2+")):
        image = drawn(number, 1.0)
        whole.add(*image, group=group)
        parts[number % 2].add(*image, group=group)
    parts[0].merge(parts[1])
    assert whole.groups == parts[0].groups == ("0", "2+", "3+")
    assert np.array_equal(sum(whole.confusion(group) for group in whole.groups), whole.confusion())
    for group in (None, *whole.groups):
        assert whole.measures(group) == parts[0].measures(group)
        assert whole.pooled(group) == parts[0].pooled(group)
    assert whole.measures("0") != whole.measures("3+")
    assert whole.confusion("1+").sum() == 0
    assert all(math.isnan(area) for area in whole.roc_auc("1+"))
    assert whole.measures()[1].roc_auc == whole.roc_auc()[1]


def test_invalid_input_is_refused_and_leaves_the_counts_unchanged() -> None:
    tally = PixelTally(NAMES)
    truth, probabilities = drawn(0, 1.0)
    with pytest.raises(TrainingError, match=r"not \(3, 40, 50\)"):
        tally.add(truth, probabilities[:2])
    with pytest.raises(TrainingError, match="softmax"):
        tally.add(truth, 2 * probabilities)
    with pytest.raises(TrainingError, match="NaN"):
        tally.add(truth, np.full_like(probabilities, np.nan))
    with pytest.raises(TrainingError, match="cannot be added: the classes differ"):
        tally.merge(PixelTally(("a", "b")))
    assert tally.groups == ()
    # Unlabelled pixels need no valid probabilities.
    probabilities[:, truth == 255] = np.nan
    tally.add(truth, probabilities)
    assert tally.pooled().n_pixels == np.count_nonzero(truth != 255)
