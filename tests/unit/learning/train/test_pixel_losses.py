from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qupath_her2.learning.train.losses import weights_of_counts
from qupath_her2.learning.train.pixel_losses import UNKNOWN, patch_weights, pixel_losses
from qupath_her2.models.settings import LossSettings

#: Two patches of 1 x 2 px: softmax (1/4, 3/4), (9/10, 1/10); and (1/2, 1/2) twice.
LOGITS = torch.tensor([[[[0.0, math.log(9.0)]], [[math.log(3.0), 0.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]])
TARGETS = torch.tensor([[[1, 1]], [[0, UNKNOWN]]], dtype=torch.uint8)
EVEN = torch.ones(2)


def losses(kind: str, weights: torch.Tensor = EVEN) -> list[float]:
    return pixel_losses(LOGITS, TARGETS, weights, LossSettings(kind)).tolist()


def test_cross_entropy_adds_up_known_pixels_by_their_weight() -> None:
    assert losses("cross_entropy") == pytest.approx([math.log(4 / 3) + math.log(10), math.log(2)])
    weights = torch.tensor([2.0, 5.0])
    expected = [5 * (math.log(4 / 3) + math.log(10)), 2 * math.log(2)]
    assert losses("cross_entropy", weights) == pytest.approx(expected)
    assert patch_weights(TARGETS, weights).tolist() == [10.0, 2.0]


def test_focal_against_hand_worked_values() -> None:
    first = 0.25**2 * math.log(4 / 3) + 0.9**2 * math.log(10)
    assert losses("focal") == pytest.approx([first, 0.5**2 * math.log(2)], rel=1e-5)


def test_dice_is_per_patch_and_over_labelled_pixels() -> None:
    # Picture 1: class 0 is not there, p sums to 1.15; class 1 is all, p sums to 0.85.
    first = 1 - (1 / (1.15 + 1) + (2 * 0.85 + 1) / (0.85 + 2 + 1)) / 2
    # Picture 2: one known pixel; the other counts neither as p nor as t.
    second = 1 - ((2 * 0.5 + 1) / (0.5 + 1 + 1) + 1 / (0.5 + 1)) / 2
    assert losses("dice") == pytest.approx([2 * first, second], rel=1e-5)
    both = [a + b for a, b in zip(losses("dice"), losses("cross_entropy"), strict=True)]
    assert losses("cross_entropy_dice") == pytest.approx(both, rel=1e-5)


@pytest.mark.parametrize("kind", ["cross_entropy", "focal", "dice", "cross_entropy_dice"])
def test_unlabelled_pixels_have_no_gradient(kind: str) -> None:
    logits = LOGITS.clone().requires_grad_()
    pixel_losses(logits, TARGETS, EVEN, LossSettings(kind)).sum().backward()
    assert logits.grad is not None
    assert logits.grad[1, :, 0, 1].tolist() == [0.0, 0.0]
    assert logits.grad[0].abs().min() > 0


@pytest.mark.parametrize("kind", ["cross_entropy", "dice"])
def test_an_unlabelled_patch_has_weight_0(kind: str) -> None:
    nothing = torch.full_like(TARGETS, UNKNOWN)
    assert pixel_losses(LOGITS, nothing, EVEN, LossSettings(kind)).tolist() == [0.0, 0.0]
    assert patch_weights(nothing, EVEN).tolist() == [0.0, 0.0]


def test_balanced_weights_follow_the_pixels() -> None:
    counts = np.array([60, 30, 10])
    weights = weights_of_counts(counts, LossSettings(class_weights="balanced"))
    assert weights == pytest.approx(100 / (3 * counts))
