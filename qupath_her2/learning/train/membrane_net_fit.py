"""Fit the small net of `cells.membrane.membrane_net` with torch: the same layers, and its weights as plain arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MembraneCuts", "MembraneFitSettings", "MembraneTruth", "fit_membrane_net"]


@dataclass(frozen=True, slots=True)
class MembraneFitSettings:
    """How the net is fitted.

    Attributes
    ----------
    width, hidden
        Channels of the convolutions, and of the dense layer behind them.
    reach
        Sectors to either side that a convolution sees.
    spread_floor
        Added to the variance over sectors before its root is taken.
    epochs, batch_size, learning_rate, weight_decay
        Of AdamW under a one-cycle schedule.
    cut_epochs, cut_learning_rate
        Of a second such cycle, in which the cut-points count too.
    own_od_weight, completeness_weight, grade_weight
        Of the losses: squared error of the root of the own density and
        of the completeness, cross-entropy of intensity and of "complete". The last two only help to learn.
    cut_weight
        Of the loss of estimates that lie on the wrong side of a cut-point. Squared errors draw what is
        uncertain to the middle: faint membranes beside strong ones came out too strong.
    root_od_slope, completeness_slope
        An estimate so far from a cut-point counts as decided (scale of the logistic).
    over_weights, over_complete_weight
        What a cell below a cut-point weighs, one above it being 1: by how much calling
        it too strong, or complete, is worse. Chosen on validation fields, where errors to either side come out alike.
    seed
        All randomness follows from it.
    """

    width: int = 32
    hidden: int = 48
    reach: int = 2
    spread_floor: float = 1e-3
    epochs: int = 30
    batch_size: int = 512
    learning_rate: float = 5e-3
    weight_decay: float = 1e-3
    cut_epochs: int = 12
    cut_learning_rate: float = 2.5e-3
    own_od_weight: float = 10.0
    completeness_weight: float = 4.0
    grade_weight: float = 0.5
    cut_weight: float = 0.3
    root_od_slope: float = 0.03
    completeness_slope: float = 0.08
    over_weights: tuple[float, float] = (1.7, 1.8)
    over_complete_weight: float = 2.3
    seed: int = 0


@dataclass(frozen=True, slots=True)
class MembraneCuts:
    """Where the estimates will be cut, see `cells.GradingSettings`.

    `own_od` : densities from which a membrane is moderate, and intense, OD. `complete_from` : stained share from which
    it is complete, 0..1. Where staining begins is no such cut: a net sharpened there found faint rings in unstained
    tissue (a third more cells of a real core labelled 0), which drawings lack.
    """

    own_od: tuple[float, float]
    complete_from: float


@dataclass(frozen=True, slots=True)
class MembraneTruth:
    """What was drawn of N cells.

    `own_od_root` float32 (N), OD ** 0.5; `completeness` float32 (N), 0..1; `intensity` uint8 (N), index into
    `records.INTENSITIES`; `is_complete` bool (N).
    """

    own_od_root: NDArray[np.float32]
    completeness: NDArray[np.float32]
    intensity: NDArray[np.uint8]
    is_complete: NDArray[np.bool_]


def _net(n_channels: int, s: MembraneFitSettings) -> Any:
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


def _cut_loss(answer: Tensor, truth: list[Tensor], cuts: MembraneCuts, s: MembraneFitSettings) -> Tensor:
    """Cross-entropy of "beyond the cut-point" for each cut, as an estimate's distance from it says."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    _, _, intensity, is_complete = truth
    at = torch.tensor(cuts.own_od).sqrt()
    # Intensities are none, faint, moderate, intense.
    beyond = (intensity[:, None] > torch.arange(1, 1 + len(at))).float()
    weights = beyond + (1 - beyond) * torch.tensor(s.over_weights)
    of_od = binary_cross_entropy_with_logits((answer[:, :1] - at) / s.root_od_slope, beyond, weights)
    # What is not stained has no pattern.
    weights = (is_complete + (1 - is_complete) * s.over_complete_weight) * (intensity > 0)
    of_pattern = binary_cross_entropy_with_logits(
        (answer[:, 1] - cuts.complete_from) / s.completeness_slope, is_complete, weights
    )
    found: Tensor = len(at) * of_od + of_pattern
    return found


def _loss(answer: Tensor, truth: list[Tensor], s: MembraneFitSettings) -> Tensor:
    from torch.nn import functional

    own_od_root, completeness, intensity, is_complete = truth
    return (
        s.own_od_weight * functional.mse_loss(answer[:, 0], own_od_root)
        + s.completeness_weight * functional.mse_loss(answer[:, 1], completeness)
        + s.grade_weight * functional.cross_entropy(answer[:, 2:6], intensity)
        + s.grade_weight * functional.binary_cross_entropy_with_logits(answer[:, 6], is_complete)
    )


def _batches(n: int, epochs: int, batch_size: int) -> Iterator[Tensor]:
    """Yield the rows of each batch, in a new order each epoch; the last rows that fill no batch are left out."""
    import torch

    for _ in range(epochs):
        order = torch.randperm(n)
        for first in range(0, n - batch_size + 1, batch_size):
            yield order[first : first + batch_size]


def fit_membrane_net(
    rings: NDArray[np.float16],
    truth: MembraneTruth,
    cuts: MembraneCuts,
    settings: MembraneFitSettings | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Fit the net to drawn cells.

    Parameters
    ----------
    rings
        float16 (N, A, C), channels round the outline of each cell.
    truth
        Of the same cells.
    cuts
        Near which the estimates matter most.
    settings
        how.

    Returns
    -------
    dict[str, NDArray[np.float32]]
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
    s = settings or MembraneFitSettings()
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
    cycles = [(s.epochs, s.learning_rate, 0.0), (s.cut_epochs, s.cut_learning_rate, s.cut_weight)]
    for epochs, learning_rate, cut_weight in cycles:
        batches = epochs * (len(rings) // s.batch_size)
        optimiser = torch.optim.AdamW(net.parameters(), learning_rate, weight_decay=s.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=batches + 1)
        for chosen in _batches(len(rings), epochs, s.batch_size):
            answer = net(inputs[chosen].float() * factor)
            truths = [target[chosen] for target in targets]
            loss = _loss(answer, truths, s)
            if cut_weight > 0:
                loss = loss + cut_weight * _cut_loss(answer, truths, cuts, s)
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
