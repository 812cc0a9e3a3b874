from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qupath_her2.errors import TrainingError
from qupath_her2.learning.dataset import Batch
from qupath_her2.learning.train.losses import weights_of_counts
from qupath_her2.learning.train.objective import PatchObjective, PixelObjective, make_objective
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


def test_dice_is_a_picture_s_figure_that_counts_its_known_pixels() -> None:
    # Picture 1: class 0 is not there, p sums to 1.15; class 1 is all, p sums to 0.85.
    first = 1 - (1 / (1.15 + 1) + (2 * 0.85 + 1) / (0.85 + 2 + 1)) / 2
    # Picture 2: one known pixel; the other counts neither as p nor as t.
    second = 1 - ((2 * 0.5 + 1) / (0.5 + 1 + 1) + 1 / (0.5 + 1)) / 2
    assert losses("dice") == pytest.approx([2 * first, second], rel=1e-5)
    both = [a + b for a, b in zip(losses("dice"), losses("cross_entropy"), strict=True)]
    assert losses("cross_entropy_dice") == pytest.approx(both, rel=1e-5)


@pytest.mark.parametrize("kind", ["cross_entropy", "focal", "dice", "cross_entropy_dice"])
def test_unknown_pixels_have_no_gradient(kind: str) -> None:
    logits = LOGITS.clone().requires_grad_()
    pixel_losses(logits, TARGETS, EVEN, LossSettings(kind)).sum().backward()
    assert logits.grad is not None
    assert logits.grad[1, :, 0, 1].tolist() == [0.0, 0.0]
    assert logits.grad[0].abs().min() > 0


@pytest.mark.parametrize("kind", ["cross_entropy", "dice"])
def test_a_picture_of_which_nothing_is_known_weighs_nothing(kind: str) -> None:
    nothing = torch.full_like(TARGETS, UNKNOWN)
    assert pixel_losses(LOGITS, nothing, EVEN, LossSettings(kind)).tolist() == [0.0, 0.0]
    assert patch_weights(nothing, EVEN).tolist() == [0.0, 0.0]


def test_balanced_weights_follow_the_pixels() -> None:
    counts = np.array([60, 30, 10])
    weights = weights_of_counts(counts, LossSettings(class_weights="balanced"))
    assert weights == pytest.approx(100 / (3 * counts))


def test_objectives_count_only_what_is_known() -> None:
    pixels = PixelObjective(np.ones(2, np.float32), LossSettings())
    batch = Batch(np.arange(2), torch.zeros(2, 1, 2, 3), (), TARGETS)
    assert torch.equal(pixels.truth(batch), TARGETS)
    assert int(pixels.n_known(TARGETS)) == 3
    # Chosen: 1, 0 in the first patch; of equals the first, 0, in the second.
    assert int(pixels.n_correct(LOGITS, TARGETS)) == 2
    assert pixels.counts(LOGITS, TARGETS).tolist() == [[1, 0], [1, 1]]
    blank = pixels.blank(2, 1)
    assert float(pixels.weight(blank).sum()) == 0
    with pytest.raises(TrainingError, match="without targets"):
        pixels.truth(Batch(np.arange(2), torch.zeros(2, 1, 2, 3), ()))

    labels = PatchObjective(np.array([1, -1], np.int16), np.array([1, 4], np.float32), LossSettings())
    truth = labels.truth(batch)
    logits = LOGITS[:, :, 0, 0]
    assert labels.weight(truth).tolist() == [4.0, 0.0]
    assert labels.losses(logits, truth).tolist() == pytest.approx([4 * math.log(4 / 3), 0.0])
    assert (int(labels.n_known(truth)), int(labels.n_correct(logits, truth))) == (1, 1)
    assert labels.counts(logits, truth).tolist() == [[0, 0], [0, 1]]


def test_dice_of_labelled_patches_is_refused(drawn: object) -> None:
    with pytest.raises(TrainingError, match="of segmenters"):
        make_objective(drawn, np.arange(4), None, LossSettings("dice"))  # type: ignore[arg-type]
