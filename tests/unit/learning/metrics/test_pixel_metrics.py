from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from qupath_her2.errors import TrainingError
from qupath_her2.learning.metrics.pixel_metrics import class_measures, pixel_confusion, pooled_measures

NAMES = ("Background", "Membrane", "Nucleus")

pixel_lists = st.integers(1, 60).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 2), min_size=n, max_size=n)] * 2)
)


def test_a_case_worked_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1], [1, 2, 2, 255]], np.uint8)
    chosen = np.array([[0, 1, 1, 1], [0, 2, 1, 2]], np.uint8)
    counts = pixel_confusion(truth, chosen, 3)
    assert counts.tolist() == [[1, 1, 0], [1, 2, 0], [0, 1, 1]]
    membrane = class_measures(counts, NAMES)[1]
    assert (membrane.tp, membrane.fp, membrane.fn, membrane.tn) == (2, 2, 1, 2)
    assert membrane.precision == pytest.approx(2 / 4)
    assert membrane.recall == pytest.approx(2 / 3)
    assert membrane.f_score == pytest.approx(4 / 7)
    assert membrane.npv == pytest.approx(2 / 3)
    assert membrane.accuracy == pytest.approx(4 / 7)
    assert membrane.fpr == pytest.approx(2 / 4)
    assert membrane.dice == pytest.approx(4 / 7)
    assert membrane.dice_without_factor_2 == pytest.approx(2 / 7)
    assert membrane.correlation == pytest.approx((4 - 2) / math.sqrt(4 * 3 * 4 * 3))
    assert membrane.segmentation_accuracy == pytest.approx(1 - 3 / 4)
    assert math.isnan(membrane.roc_auc)
    pooled = pooled_measures(counts)
    assert pooled.n_pixels == 7
    assert pooled.accuracy == pytest.approx(4 / 7)
    # Three pixels misnamed, five named membrane or nucleus.
    assert pooled.segmentation_accuracy == pytest.approx(1 - 3 / 5)
    assert pooled.mean_f_score == pytest.approx((2 / 4 + 4 / 7 + 2 / 3) / 3)
    assert pooled.mean_dice_without_factor_2 == pytest.approx(pooled.mean_f_score / 2)
    assert math.isnan(pooled.mean_roc_auc)


@settings(max_examples=30, deadline=None)
@given(pixel_lists)
def test_scikit_learn_agrees(lists: tuple[list[int], list[int]]) -> None:
    truth, chosen = (np.array(values, np.uint8) for values in lists)
    counts = pixel_confusion(truth, chosen, 3)
    assert np.array_equal(counts, oracle.confusion_matrix(truth, chosen, labels=[0, 1, 2]))
    for code, found in enumerate(class_measures(counts, NAMES)):
        is_class, predicted = truth == code, chosen == code
        expected = {
            "precision": oracle.precision_score(is_class, predicted, zero_division=np.nan),
            "recall": oracle.recall_score(is_class, predicted, zero_division=np.nan),
            "f_score": oracle.f1_score(is_class, predicted, zero_division=np.nan),
            "npv": oracle.precision_score(~is_class, ~predicted, zero_division=np.nan),
            "fpr": 1 - oracle.recall_score(~is_class, ~predicted, zero_division=np.nan),
            "accuracy": np.mean(is_class == predicted),
        }
        for name, value in expected.items():
            assert getattr(found, name) == pytest.approx(value, nan_ok=True), name
        assert found.dice == pytest.approx(found.f_score, nan_ok=True)
        if 0 < is_class.sum() < len(truth) and 0 < predicted.sum() < len(truth):
            assert found.correlation == pytest.approx(oracle.matthews_corrcoef(is_class, predicted))
            # Equation 15 as printed, of the two masks.
            assert found.correlation == pytest.approx(np.corrcoef(is_class, predicted)[0, 1])
        else:
            assert math.isnan(found.correlation)
    if len(set(truth)) > 1 and len(set(chosen)) > 1:
        assert pooled_measures(counts).correlation == pytest.approx(oracle.matthews_corrcoef(truth, chosen))


def test_pixels_of_a_whole_slide_do_not_overflow() -> None:
    counts = np.array([[6, 1, 0], [1, 7, 1], [0, 1, 8]], np.int64)
    large = counts * 10**10
    for small_one, large_one in zip(class_measures(counts, NAMES), class_measures(large, NAMES), strict=True):
        assert large_one.correlation == pytest.approx(small_one.correlation)
    assert pooled_measures(large).correlation == pytest.approx(pooled_measures(counts).correlation)


def test_metrics_of_no_pixels_are_nan() -> None:
    none = class_measures(np.zeros((3, 3), np.int64), NAMES)[0]
    values = {name: value for name, value in dataclasses.asdict(none).items() if isinstance(value, float)}
    assert len(values) == 11
    assert all(math.isnan(value) for value in values.values())
    pooled = pooled_measures(np.zeros((3, 3), np.int64))
    assert pooled.n_pixels == 0
    assert math.isnan(pooled.accuracy)
    assert math.isnan(pooled.correlation)
    assert math.isnan(pooled.segmentation_accuracy)


def test_shapes_and_classes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TrainingError, match="must be equal"):
        pixel_confusion(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), 3)
    with pytest.raises(TrainingError, match="Class index 3"):
        pixel_confusion(np.full((2, 2), 3, np.uint8), np.zeros((2, 2), np.uint8), 3)
