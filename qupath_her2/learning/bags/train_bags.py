"""Training of a network on bags: one optimiser step a bag, the epoch of the lowest validation loss is kept."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from qupath_her2.errors import TrainingError
from qupath_her2.learning.device import choose_device, half_dtype

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from qupath_her2.models.bag_base import BagNetwork
    from qupath_her2.models.bag_settings import BagTrainSettings

__all__ = ["BagEpoch", "BagReader", "TrainedBags", "predict_bags", "train_bags"]


class BagReader(Protocol):
    """A source of bags by row, such as `bag_source.Bags`."""

    def __getitem__(self, row: int) -> Tensor:
        """Return float32 (N, D)."""
        ...


@dataclass(frozen=True, slots=True)
class BagEpoch:
    """An epoch: number from 1, mean training loss, mean validation loss (NaN without a validation part)."""

    epoch: int
    train_loss: float
    loss: float


@dataclass(frozen=True, slots=True)
class TrainedBags:
    """A finished training; the network holds the weights of `best_epoch`.

    Attributes
    ----------
    history
        All epochs.
    best_epoch
        That of the lowest validation loss; the last one without a validation part.
    seconds
        Duration.
    """

    history: tuple[BagEpoch, ...]
    best_epoch: int
    seconds: float


def train_bags(
    net: BagNetwork,
    bags: BagReader,
    labels: NDArray[np.int64],
    train_rows: NDArray[np.int64],
    validation_rows: NDArray[np.int64],
    settings: BagTrainSettings,
    *,
    device: str = "auto",
    progress: Callable[[BagEpoch, int], None] | None = None,
) -> TrainedBags:
    """Train a network on bags, in place.

    Parameters
    ----------
    net
        From `bag_networks.build_bag_network`.
    bags
        Features by row.
    labels
        int64 (rows,), class of each bag.
    train_rows, validation_rows
        Rows of both parts.
    settings
        Length, rate, balance, seed.
    device
        See `learning.device.choose_device`.
    progress
        Called after each epoch with it and the largest number of epochs; may raise KeyboardInterrupt.

    Returns
    -------
    TrainedBags
        The same for the same seed and device.

    Raises
    ------
    TrainingError
        The training part has fewer than two classes, or the loss is no number.
    """
    import torch

    classes = np.unique(labels[train_rows])
    if len(classes) < 2:
        raise TrainingError(
            f"The {len(train_rows)} training slides have {len(classes)} class. Label slides of at least two."
        )
    started, where = time.monotonic(), choose_device(device)
    net.to(where)
    # Fused: one pass over the weights instead of a dozen, which on a CPU is a third of a step on a small bag.
    optimiser = torch.optim.Adam(
        net.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=where.type != "mps",
    )
    history: list[BagEpoch] = []
    best: tuple[float, int, dict[str, Any]] | None = None
    # The generator of the process is left as it was, and an epoch does not depend on those before it.
    with torch.random.fork_rng(devices=[]), _encoding_in(net, half_dtype(where, settings.precision)):
        for epoch in range(1, settings.epochs + 1):
            torch.manual_seed(settings.seed * 100_003 + epoch)
            if settings.decay_epoch and epoch == settings.decay_epoch + 1:
                for group in optimiser.param_groups:
                    group["lr"] *= settings.decay_factor
            order = _order(labels, train_rows, settings, epoch)
            loss = _pass(net.train(), bags, labels, order, settings, optimiser, where)
            checked = _validation_loss(net.eval(), bags, labels, validation_rows, where)
            history.append(BagEpoch(epoch, loss, checked))
            if progress is not None:
                progress(history[-1], settings.epochs)
            # Without a validation part the last epoch is kept.
            if best is None or not checked >= best[0]:
                best = (checked, epoch, copy.deepcopy(net.state_dict()))
            elif epoch - best[1] >= settings.patience and epoch >= settings.least_epochs:
                break
    assert best is not None
    net.load_state_dict(best[2])
    return TrainedBags(tuple(history), best[1], time.monotonic() - started)


@contextlib.contextmanager
def _encoding_in(net: BagNetwork, half: torch.dtype | None) -> Iterator[None]:
    """Encode patches in `half` within this context alone: predictions must not depend on the processor."""
    net.half = half
    try:
        yield
    finally:
        net.half = None


def _order(
    labels: NDArray[np.int64], rows: NDArray[np.int64], settings: BagTrainSettings, epoch: int
) -> NDArray[np.int64]:
    rng = np.random.default_rng([settings.seed, epoch])
    if not settings.is_balanced:
        return rng.permutation(rows)
    own = labels[rows]
    share = 1 / np.bincount(own)[own]
    return rng.choice(rows, len(rows), p=share / share.sum())


def _pass(
    net: BagNetwork,
    bags: BagReader,
    labels: NDArray[np.int64],
    order: NDArray[np.int64],
    settings: BagTrainSettings,
    optimiser: Any,
    where: Any,
) -> float:
    import torch

    total = 0.0
    for row in order.tolist():
        label = torch.tensor(labels[row], device=where)
        loss, _ = net.loss(bags[row].to(where), label)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if settings.gradient_clip:
            for group in net.clipped_groups():
                torch.nn.utils.clip_grad_norm_(group, settings.gradient_clip)
        optimiser.step()
        total += float(loss.detach())
    if not np.isfinite(total):
        raise TrainingError(
            "The loss is no longer a number. Lower the learning rate (--learning-rate), and check the features."
        )
    return total / max(1, len(order))


def _validation_loss(
    net: BagNetwork, bags: BagReader, labels: NDArray[np.int64], rows: NDArray[np.int64], where: Any
) -> float:
    import torch
    from torch.nn import functional

    if len(rows) == 0:
        return float("nan")
    total = 0.0
    with torch.inference_mode():
        for row in rows.tolist():
            target = torch.tensor([labels[row]], device=where)
            total += float(functional.cross_entropy(net(bags[row].to(where))[None], target))
    return total / len(rows)


def predict_bags(
    net: BagNetwork, bags: BagReader, rows: Sequence[int], *, device: str = "auto"
) -> NDArray[np.float32]:
    """Return the class probabilities of bags.

    Parameters
    ----------
    net
        A trained network.
    bags
        Features by row.
    rows
        The bags asked for.
    device
        See `learning.device.choose_device`.

    Returns
    -------
    NDArray[np.float32]
        float32 (n, C).
    """
    import torch

    where = choose_device(device)
    net.to(where).eval()
    with torch.inference_mode():
        found = [torch.softmax(net(bags[row].to(where)), 0).cpu().numpy() for row in rows]
    return np.stack(found) if found else np.zeros((0, net.n_classes), np.float32)
