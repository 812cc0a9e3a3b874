"""Fit the small net of `cells.ring_net` with torch: the same layers, and its weights as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["RingFitSettings", "RingTruth", "fit_rings"]


@dataclass(frozen=True, slots=True)
class RingFitSettings:
    """How the net is fitted.

    Attributes
    ----------
    width, hidden : channels of the convolutions, and of the dense layer behind them.
    reach : sectors to either side that a convolution sees.
    spread_floor : added to the variance over sectors before its root is taken.
    epochs, batch_size, learning_rate, weight_decay : of AdamW under a one-cycle schedule.
    own_od_weight, completeness_weight, grade_weight : of the losses: squared error of the root of the own density and
        of the completeness, cross-entropy of intensity and of "complete". The last two only help to learn.
    seed : all randomness follows from it.
    """

    width: int = 32
    hidden: int = 48
    reach: int = 2
    spread_floor: float = 1e-3
    epochs: int = 30
    batch_size: int = 512
    learning_rate: float = 5e-3
    weight_decay: float = 1e-3
    own_od_weight: float = 10.0
    completeness_weight: float = 4.0
    grade_weight: float = 0.5
    seed: int = 0


@dataclass(frozen=True, slots=True)
class RingTruth:
    """What was drawn of N cells.

    `own_od_root` float32 (N), OD ** 0.5; `completeness` float32 (N), 0..1; `intensity` uint8 (N), index into
    `records.INTENSITIES`; `is_complete` bool (N).
    """

    own_od_root: NDArray[np.float32]
    completeness: NDArray[np.float32]
    intensity: NDArray[np.uint8]
    is_complete: NDArray[np.bool_]


def _net(n_channels: int, s: RingFitSettings) -> Any:
    import torch
    from torch import nn
    from torch.nn.functional import relu

    class Net(nn.Module):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            seen = s.reach + 1
            self.convolutions = nn.ModuleList(
                nn.Linear(seen * n, s.width) for n in (n_channels, s.width, s.width)
            )
            self.dense = nn.Linear(3 * s.width, s.hidden)
            # Two estimates, four intensities, one "complete".
            self.heads = nn.Linear(s.hidden, 7)

        def forward(self, rings: Tensor) -> Tensor:
            seen = rings
            for n, convolution in enumerate(self.convolutions):
                pairs = [seen.roll(k, 1) + seen.roll(-k, 1) for k in range(1, s.reach + 1)]
                around = torch.cat([seen, *pairs], 2)
                answer = relu(convolution(around))
                seen = answer if n == 0 else seen + answer
            mean = seen.mean(1)
            spread = torch.sqrt(seen.square().mean(1) - mean.square() + s.spread_floor)
            answered: Tensor = self.heads(relu(self.dense(torch.cat([mean, seen.amax(1), spread], 1))))
            return answered

    return Net()


def _loss(answer: Tensor, truth: list[Tensor], s: RingFitSettings) -> Tensor:
    from torch.nn import functional

    own_od_root, completeness, intensity, is_complete = truth
    return (
        s.own_od_weight * functional.mse_loss(answer[:, 0], own_od_root)
        + s.completeness_weight * functional.mse_loss(answer[:, 1], completeness)
        + s.grade_weight * functional.cross_entropy(answer[:, 2:6], intensity)
        + s.grade_weight * functional.binary_cross_entropy_with_logits(answer[:, 6], is_complete)
    )


def fit_rings(
    rings: NDArray[np.float16], truth: RingTruth, settings: RingFitSettings | None = None
) -> dict[str, NDArray[np.float32]]:
    """Fit the net to drawn cells.

    Parameters
    ----------
    rings : float16 (N, A, C), channels round the outline of each cell.
    truth : of the same cells.
    settings : how.

    Returns
    -------
    dict of float32 arrays: ``scale`` (C), and for each layer k of five ``weight/k`` (in, out) and ``bias/k`` (out).

    Raises
    ------
    SettingsError
        Without torch, or with fewer cells than one batch.
    """
    try:
        import torch
    except ImportError as error:
        raise SettingsError(
            "Growing the net needs torch. Install it: pip install 'qupath-her2[learn]'."
        ) from error
    s = settings or RingFitSettings()
    if len(rings) < s.batch_size:
        raise SettingsError(
            f"{len(rings)} cells are fewer than one batch of {s.batch_size}. Draw more fields."
        )
    torch.manual_seed(s.seed)
    spread = rings.reshape(-1, rings.shape[2]).astype(np.float32).std(0)
    scale = (1 / np.maximum(spread, 1e-3)).astype(np.float32)
    inputs = torch.from_numpy(rings)
    targets = [
        torch.from_numpy(truth.own_od_root.astype(np.float32)),
        torch.from_numpy(truth.completeness.astype(np.float32)),
        torch.from_numpy(truth.intensity.astype(np.int64)),
        torch.from_numpy(truth.is_complete.astype(np.float32)),
    ]
    net, factor = _net(rings.shape[2], s), torch.from_numpy(scale)
    batches = len(rings) // s.batch_size
    optimiser = torch.optim.AdamW(net.parameters(), s.learning_rate, weight_decay=s.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, s.learning_rate, total_steps=s.epochs * batches + 1
    )
    for _ in range(s.epochs):
        order = torch.randperm(len(rings))
        for k in range(batches):
            chosen = order[k * s.batch_size : (k + 1) * s.batch_size]
            loss = _loss(net(inputs[chosen].float() * factor), [target[chosen] for target in targets], s)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return {"scale": scale, **_weights(net)}


def _weights(net: Any) -> dict[str, NDArray[np.float32]]:
    stored = {}
    for k, layer in enumerate((*net.convolutions, net.dense, net.heads)):
        stored[f"weight/{k}"] = np.ascontiguousarray(layer.weight.detach().numpy().T)
        stored[f"bias/{k}"] = layer.bias.detach().numpy().copy()
    # The grades were there to learn from; the estimates are what is asked for.
    stored["weight/4"], stored["bias/4"] = stored["weight/4"][:, :2].copy(), stored["bias/4"][:2].copy()
    return stored
