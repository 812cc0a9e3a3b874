from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qupath_her2.errors import TrainingError
from qupath_her2.learning.dataset import Batch
from qupath_her2.learning.train.objective import PatchObjective, PixelObjective, make_objective
from qupath_her2.learning.train.pixel_losses import UNKNOWN
from qupath_her2.models.settings import LossSettings

#: Two patches of 1 x 2 px: softmax (1/4, 3/4), (9/10, 1/10); and (1/2, 1/2) twice.
LOGITS = torch.tensor([[[[0.0, math.log(9.0)]], [[math.log(3.0), 0.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]])
TARGETS = torch.tensor([[[1, 1]], [[0, UNKNOWN]]], dtype=torch.uint8)


def test_objectives_count_only_labelled_pixels_and_patches() -> None:
    pixels = PixelObjective(np.ones(2, np.float32), LossSettings())
    batch = Batch(np.arange(2), torch.zeros(2, 1, 2, 3), (), TARGETS)
    assert torch.equal(pixels.truth(batch), TARGETS)
    assert int(pixels.n_known(TARGETS)) == 3
    # Chosen: 1, 0 in the first patch; of equals the first, 0, in the second.
    assert int(pixels.n_correct(LOGITS, TARGETS)) == 2
    assert pixels.counts(LOGITS, TARGETS).tolist() == [[1, 0], [1, 1]]
    blank = pixels.unlabelled(2, 1)
    assert float(pixels.weight(blank).sum()) == 0
    with pytest.raises(TrainingError, match="without pixel classes"):
        pixels.truth(Batch(np.arange(2), torch.zeros(2, 1, 2, 3), ()))

    labels = PatchObjective(np.array([1, -1], np.int16), np.array([1, 4], np.float32), LossSettings())
    truth = labels.truth(batch)
    logits = LOGITS[:, :, 0, 0]
    assert labels.weight(truth).tolist() == [4.0, 0.0]
    assert labels.losses(logits, truth).tolist() == pytest.approx([4 * math.log(4 / 3), 0.0])
    assert (int(labels.n_known(truth)), int(labels.n_correct(logits, truth))) == (1, 1)
    assert labels.counts(logits, truth).tolist() == [[0, 0], [0, 1]]


def test_dice_of_labelled_patches_is_refused(drawn: object) -> None:
    with pytest.raises(TrainingError, match="Loss 'dice' is for segmenters"):
        make_objective(drawn, np.arange(4), None, LossSettings("dice"))  # type: ignore[arg-type]
