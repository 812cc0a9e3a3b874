from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qupath_her2.errors import SettingsError
from qupath_her2.learning.train.losses import class_weights, patch_losses
from qupath_her2.models.settings import LossSettings

#: Logits whose softmax is (1/4, 3/4) and (9/10, 1/10).
LOGITS = torch.tensor([[0.0, math.log(3.0)], [math.log(9.0), 0.0]])


def test_cross_entropy_against_hand_worked_values() -> None:
    losses = patch_losses(LOGITS, torch.tensor([1, 1]), torch.ones(2), LossSettings())
    assert losses.tolist() == pytest.approx([math.log(4 / 3), math.log(10)])


def test_class_weights_against_hand_worked_values() -> None:
    # 6 patches of class 0, 2 of class 1, none of class 2: N / (C n) = 8/18, 8/6, and 1 for the absent one.
    labels = np.array([0] * 6 + [1] * 2, np.int16)
    weights = class_weights(labels, 3, LossSettings(class_weights="balanced"))
    assert weights.tolist() == pytest.approx([8 / 18, 8 / 6, 1.0])
    assert class_weights(labels, 3, LossSettings()).tolist() == [1, 1, 1]
    losses = patch_losses(LOGITS, torch.tensor([0, 1]), torch.tensor([2.0, 5.0]), LossSettings())
    assert losses.tolist() == pytest.approx([2 * math.log(4), 5 * math.log(10)])


def test_balanced_weights_are_scikit_learns() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.random.default_rng(0).choice(4, 500, p=[0.05, 0.25, 0.4, 0.3]).astype(np.int16)
    ours = class_weights(labels, 4, LossSettings(class_weights="balanced"))
    assert np.allclose(ours, compute_class_weight("balanced", classes=np.arange(4), y=labels))


def test_focal_loss_against_hand_worked_values() -> None:
    settings = LossSettings("focal", focal_gamma=2.0)
    losses = patch_losses(LOGITS, torch.tensor([1, 1]), torch.tensor([1.0, 3.0]), settings)
    assert losses.tolist() == pytest.approx(
        [3 * 0.25**2 * math.log(4 / 3), 3 * 0.9**2 * math.log(10)], rel=1e-5
    )
    zero = patch_losses(LOGITS, torch.tensor([1, 1]), torch.ones(2), LossSettings("focal", focal_gamma=0.0))
    assert zero.tolist() == pytest.approx([math.log(4 / 3), math.log(10)])


def test_the_gradient_of_the_focal_loss_is_finite_at_certainty() -> None:
    logits = torch.tensor([[80.0, -80.0]], requires_grad=True)
    patch_losses(
        logits, torch.tensor([0]), torch.ones(2), LossSettings("focal", focal_gamma=0.5)
    ).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("given", [(1.0,), (1.0, 0.0), (1.0, math.nan), (1.0, 2.0, 3.0)])
def test_weights_that_do_not_fit_are_refused(given: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match=r"2 positive numbers|each above 0"):
        class_weights(np.array([0, 1], np.int16), 2, LossSettings(class_weights=given))
