"""Training on bags: it learns, repeats itself, stops, and says what is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks are NOT TESTED: pip install 'qupath-her2[learn]'")

from qupath_her2.errors import TrainingError  # noqa: E402
from qupath_her2.learning.bags.train_bags import predict_bags, train_bags  # noqa: E402
from qupath_her2.models.bag_networks import build_bag_network  # noqa: E402
from qupath_her2.models.bag_settings import BagNetworkSettings, BagTrainSettings  # noqa: E402

SETTINGS = BagTrainSettings(
    network=BagNetworkSettings(hidden=16, attention=8),
    epochs=12,
    least_epochs=0,
    patience=12,
    learning_rate=3e-3,
)
LABELS = np.tile([0, 1], 12)
ROWS = np.arange(24)


def bags() -> list[Any]:
    drawn = torch.Generator().manual_seed(0)
    found = [torch.randn(20 + row, 6, generator=drawn) for row in range(24)]
    for bag, label in zip(found, LABELS, strict=True):
        bag[:3, 0] += 4.0 * float(label)
    return found


def train(settings: BagTrainSettings = SETTINGS, **changed: Any) -> tuple[Any, Any]:
    net = build_bag_network("clam-sb", 6, 2, settings.network, seed=settings.seed)
    parts = {"bags": bags(), "train_rows": ROWS[:16], "validation_rows": ROWS[16:], "device": "cpu"} | changed
    return net, train_bags(net, labels=LABELS, settings=settings, **parts)


def test_it_learns_and_keeps_the_best_epoch() -> None:
    net, found = train()
    probabilities = predict_bags(net, bags(), ROWS[16:].tolist(), device="cpu")
    assert (probabilities.argmax(axis=1) == LABELS[16:]).mean() > 0.8
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    losses = [one.loss for one in found.history]
    assert losses[found.best_epoch - 1] == min(losses)
    target = torch.from_numpy(LABELS[16:])
    kept = float(torch.nn.functional.nll_loss(torch.from_numpy(np.log(probabilities)), target))
    assert kept == pytest.approx(min(losses), rel=1e-4)


def test_the_same_seed_gives_the_same_training_whatever_came_before() -> None:
    first = train()[1].history
    torch.rand(7)
    assert train()[1].history == first
    assert train(replace(SETTINGS, seed=1))[1].history != first


def test_in_16_bits_it_learns_as_well_and_predicts_in_32() -> None:
    net, found = train(replace(SETTINGS, precision="bf16"))
    assert net.half is None
    exact = train()[1].history
    assert [one.loss for one in found.history] != [one.loss for one in exact]
    assert found.history[-1].loss == pytest.approx(exact[-1].loss, abs=0.05)
    probabilities = predict_bags(net, bags(), ROWS[16:].tolist(), device="cpu")
    assert (probabilities.argmax(axis=1) == LABELS[16:]).mean() > 0.8

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    stopped = build_bag_network("clam-sb", 6, 2, SETTINGS.network)
    with pytest.raises(KeyboardInterrupt):
        train_bags(
            stopped, bags(), LABELS, ROWS[:16], ROWS[16:], replace(SETTINGS, precision="bf16"), progress=stop
        )
    assert stopped.half is None


def test_it_stops_early_but_not_before_the_least_epochs() -> None:
    tired = replace(SETTINGS, learning_rate=0.5, patience=2)
    n = len(train(tired)[1].history)
    assert n < 12
    assert len(train(replace(tired, least_epochs=11))[1].history) >= 11


def test_without_a_validation_part_the_last_epoch_is_kept() -> None:
    _, found = train(replace(SETTINGS, epochs=3), validation_rows=ROWS[:0])
    assert found.best_epoch == 3
    assert np.isnan(found.history[0].loss)


def test_the_rate_decays_and_gradients_are_clipped() -> None:
    slow = replace(SETTINGS, decay_epoch=1, decay_factor=1e-9, epochs=4, gradient_clip=1e-3)
    history = train(slow)[1].history
    assert history[1].loss == pytest.approx(history[3].loss, abs=1e-5)


def test_progress_is_told_and_may_stop() -> None:
    told: list[tuple[int, int]] = []

    def tell(one: Any, total: int) -> None:
        told.append((one.epoch, total))
        if one.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(progress=tell)
    assert told == [(1, 12), (2, 12)]


def test_one_class_and_a_loss_that_is_no_number() -> None:
    one_class = r"The 8 training slides have 1 class\. Label slides of at least two"
    with pytest.raises(TrainingError, match=one_class):
        train(train_rows=ROWS[:16:2])
    broken = [bag * float("inf") for bag in bags()]
    with pytest.raises(TrainingError, match=r"The loss is no longer a number\. Lower the learning rate"):
        train(bags=broken)
