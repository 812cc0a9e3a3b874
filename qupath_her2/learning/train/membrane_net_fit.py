"""Training of the membrane network of `cells.membrane.membrane_net`: its layers in torch, weights as plain arrays."""

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
    """Architecture and training of the network.

    Attributes
    ----------
    width, hidden
        Channels of the convolutions, and units of the dense layer after them.
    reach
        Sectors on either side that a convolution covers.
    spread_floor
        Added to the variance over the sectors before its root is taken, so that the gradient at 0 is finite.
    epochs, batch_size, learning_rate, weight_decay
        AdamW with a one-cycle schedule.
    cut_epochs, cut_learning_rate
        A second such cycle, in which the loss at the cut-points is added.
    own_od_weight, completeness_weight, grade_weight
        Weights of the losses: squared error of the root of the cell's own density and of the completeness;
        cross-entropy of intensity and of "complete", which are auxiliary and not used after training.
    cut_weight
        Weight of the loss of estimates on the wrong side of a cut-point. Squared errors pull uncertain estimates to the
        middle: without it, faint membranes beside strong ones were estimated too strong.
    root_od_slope, completeness_slope
        Scale of the logistic function: distance from a cut-point at which an estimate counts as decided.
    over_weights, over_complete_weight
        Weight of a cell below a cut-point, relative to one above it: how much worse it is to overestimate it. Chosen on
        validation fields such that errors in both directions are equally frequent.
    seed
        Seed of everything random.
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
    """Cut-points applied to the estimates, see `cells.GradingSettings`.

    `own_od`: densities from which a membrane is moderate, and intense, OD. `complete_from`: stained share from which it
    is complete, 0..1. The threshold of staining is not among them: a network sharpened there found faint membranes in
    unstained tissue (in a third more cells of a real core labelled 0), which synthetic fields lack.
    """

    own_od: tuple[float, float]
    complete_from: float


@dataclass(frozen=True, slots=True)
class MembraneTruth:
    """True values of N synthetic cells.

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
            # Two estimates (own density, completeness), logits of four intensities, and one of "complete".
            self.heads = nn.Linear(s.hidden, 7)

        def forward(self, rings: Tensor) -> Tensor:
            seen = rings
            for n, convolution in enumerate(self.convolutions):
                # Sums of mirrored sectors: the network is invariant to the direction round the cell, and `roll` closes
                # the ring, so that it is invariant to where the outline starts as well.
                pairs = [seen.roll(k, 1) + seen.roll(-k, 1) for k in range(1, s.reach + 1)]
                around = torch.cat([seen, *pairs], 2)
                output = relu(convolution(around))
                seen = output if n == 0 else seen + output
            # Pooled over the sectors: their number may differ, and their order carries no information.
            mean = seen.mean(1)
            spread = torch.sqrt(seen.square().mean(1) - mean.square() + s.spread_floor)
            estimates: Tensor = self.heads(relu(self.dense(torch.cat([mean, seen.amax(1), spread], 1))))
            return estimates

    return Net()


def _cut_loss(output: Tensor, truth: list[Tensor], cuts: MembraneCuts, s: MembraneFitSettings) -> Tensor:
    """Return the cross-entropy of "above the cut-point", with the distance of an estimate from it as the logit."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    _, _, intensity, is_complete = truth
    at = torch.tensor(cuts.own_od).sqrt()
    # Intensities are none, faint, moderate, intense: cut-points separate the last three.
    beyond = (intensity[:, None] > torch.arange(1, 1 + len(at))).float()
    # Errors in the two directions do not cost the same, see `MembraneFitSettings.over_weights`.
    weights = beyond + (1 - beyond) * torch.tensor(s.over_weights)
    of_od = binary_cross_entropy_with_logits((output[:, :1] - at) / s.root_od_slope, beyond, weights)
    # Without staining there is no completeness.
    weights = (is_complete + (1 - is_complete) * s.over_complete_weight) * (intensity > 0)
    of_pattern = binary_cross_entropy_with_logits(
        (output[:, 1] - cuts.complete_from) / s.completeness_slope, is_complete, weights
    )
    found: Tensor = len(at) * of_od + of_pattern
    return found


def _loss(output: Tensor, truth: list[Tensor], s: MembraneFitSettings) -> Tensor:
    from torch.nn import functional

    own_od_root, completeness, intensity, is_complete = truth
    return (
        s.own_od_weight * functional.mse_loss(output[:, 0], own_od_root)
        + s.completeness_weight * functional.mse_loss(output[:, 1], completeness)
        + s.grade_weight * functional.cross_entropy(output[:, 2:6], intensity)
        + s.grade_weight * functional.binary_cross_entropy_with_logits(output[:, 6], is_complete)
    )


def _batches(n: int, epochs: int, batch_size: int) -> Iterator[Tensor]:
    """Yield the rows of each batch, shuffled in each epoch; an incomplete last batch is left out."""
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
    """Train the network on synthetic cells.

    Parameters
    ----------
    rings
        float16 (N, A, C), channels in the sectors round each cell.
    truth
        True values of the same cells.
    cuts
        Cut-points, near which the estimates matter most.
    settings
        Architecture and training.

    Returns
    -------
    dict[str, NDArray[np.float32]]
        ``scale`` (C), and for each of five layers k, ``weight/k`` (in, out) and ``bias/k`` (out).

    Raises
    ------
    SettingsError
        torch is not installed, or there are fewer cells than one batch.
    """
    try:
        import torch
    except ImportError as error:
        raise SettingsError(
            "Training the membrane network needs torch. Install it: pip install 'qupath-her2[learn]'."
        ) from error
    s = settings or MembraneFitSettings()
    if len(rings) < s.batch_size:
        raise SettingsError(
            f"{len(rings)} cells are fewer than one batch of {s.batch_size}. Generate more synthetic fields."
        )
    torch.manual_seed(s.seed)
    # Each channel is scaled by its spread over all sectors: densities and distances differ by orders of magnitude.
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
        # One step more than batches: the schedule is also stepped after the last one.
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=batches + 1)
        for chosen in _batches(len(rings), epochs, s.batch_size):
            output = net(inputs[chosen].float() * factor)
            truths = [target[chosen] for target in targets]
            loss = _loss(output, truths, s)
            if cut_weight > 0:
                loss = loss + cut_weight * _cut_loss(output, truths, cuts, s)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return {"scale": scale, **_weights(net)}


def _weights(net: Any) -> dict[str, NDArray[np.float32]]:
    stored = {}
    # Transposed to (in, out): the network without torch multiplies rows of inputs from the left.
    for k, layer in enumerate((*net.convolutions, net.dense, net.heads)):
        stored[f"weight/{k}"] = np.ascontiguousarray(layer.weight.detach().numpy().T)
        stored[f"bias/{k}"] = layer.bias.detach().numpy().copy()
    # The auxiliary outputs served training only; the two estimates are kept.
    stored["weight/4"], stored["bias/4"] = stored["weight/4"][:, :2].copy(), stored["bias/4"][:2].copy()
    return stored
