"""One optimiser step: gradients of a batch, accumulated over parts that fit into memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import TrainingError
from qupath_her2.learning.dataset import Batch
from qupath_her2.learning.device import autocast, is_out_of_memory
from qupath_her2.learning.train.seeding import step_seed
from qupath_her2.learning.train.setup import Setup
from qupath_her2.learning.train.training_state import TrainingState

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["train_step"]


def train_step(setup: Setup, state: TrainingState, batch: Batch) -> list[float]:
    """Do one optimiser step.

    The loss is the mean over the batch's patches (for a segmenter, over their labelled pixels), weighted by class, over
    all parts and processes: how a batch is divided changes the result only by rounding, batch norm excepted.

    Parameters
    ----------
    setup
        Constants of the training.
    state
        State of the training, changed in place.
    batch
        This process's patches of the batch.

    Returns
    -------
    list[float]
        Sums over the batch and all processes: losses, weights, correct predictions, predictions.

    Raises
    ------
    TrainingError
        The loss is not finite, or a single patch exceeds the memory; the weights are those before the step.
    """
    processes, objective = setup.processes, setup.objective
    truth = objective.truth(batch)
    if setup.targets is not None:
        truth = setup.prepare.targets(truth.to(processes.device, non_blocking=True), batch.rows, state.epoch)
    own_weight = float(objective.weight(truth).sum())
    weight, count = processes.sum([own_weight, float(objective.n_known(truth))]).tolist()
    # Windows without a single labelled pixel: there is no mean to take.
    if weight == 0:
        return [0.0, 0.0, 0.0, 0.0]
    patches = batch.patches.to(processes.device, non_blocking=True)
    truth = truth.to(processes.device, non_blocking=True)
    while True:
        try:
            own = _gradients(setup, state, patches, truth, batch.rows, weight)
            break
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            _halve_parts(setup, state, len(batch.rows), error)
    loss, correct = processes.sum(own).tolist()
    if not math.isfinite(loss):
        raise TrainingError(_not_finite(setup, state, batch.rows, loss))
    state.scaler.step(state.optimiser)
    state.scaler.update()
    state.steps_done += 1
    state.update_average()
    return [loss, weight, correct, count]


def _gradients(
    setup: Setup,
    state: TrainingState,
    patches: Tensor,
    truth: Tensor,
    rows: NDArray[np.int64],
    weight: float,
) -> list[float]:
    """Accumulate the gradients of a batch; return the sum of its losses and of its correct predictions."""
    import torch

    processes, device, s = setup.processes, setup.processes.device, setup.settings
    if len(rows) == 0:
        # The other processes wait for this one's gradients: two unlabelled patches, which contribute zeros.
        patches, rows = patches.new_zeros((2, *patches.shape[1:])), setup.rows[:2]
        truth = setup.objective.unlabelled(2, patches.shape[1]).to(device)
    state.optimiser.zero_grad(set_to_none=True)
    # Dropout follows from the step alone, so that a resumed training draws the same masks.
    torch.manual_seed(step_seed(s.seed, state.epoch, state.step, processes.rank))
    sums = []
    parts = np.array_split(np.arange(len(rows)), math.ceil(len(rows) / state.micro))
    for number, part in enumerate(parts):
        here = slice(int(part[0]), int(part[-1]) + 1)
        prepared = setup.prepare(patches[here], rows[here], state.epoch)
        with processes.accumulate(setup.net, is_last=number + 1 == len(parts)):
            with autocast(device, setup.half):
                logits = setup.net(prepared)
            losses = setup.objective.losses(logits, truth[here])
            # DistributedDataParallel takes the mean over processes; the loss is the mean over all patches.
            state.scaler.scale(losses.sum() * (processes.size / weight)).backward()
        correct = setup.objective.n_correct(logits.detach(), truth[here])
        sums.append(torch.stack([losses.detach().sum(), correct.float()]))
    # One synchronisation with the device per batch; summed in double precision on the CPU, since MPS has none.
    loss_sum, correct_sum = torch.stack(sums).cpu().double().sum(0).tolist()
    return [loss_sum, correct_sum]


def _halve_parts(setup: Setup, state: TrainingState, n: int, error: RuntimeError) -> None:
    """Halve the parts of a batch, or raise TrainingError where that is impossible."""
    import torch

    most = min(state.micro, n)
    # Several processes must process their parts in step, so none can halve its own.
    if most <= 1 or setup.processes.size > 1:
        raise TrainingError(
            f"The memory of {setup.processes.device} is full with {most} patches of {setup.manifest.patch_size_px} px "
            "in the network. Set a smaller micro_batch_size, or use smaller patches."
        ) from error
    state.micro = (most + 1) // 2
    state.optimiser.zero_grad(set_to_none=True)
    if setup.processes.device.type == "cuda":
        torch.cuda.empty_cache()


def _not_finite(setup: Setup, state: TrainingState, rows: NDArray[np.int64], loss: float) -> str:
    names = sorted({setup.manifest.images[k].name for k in setup.manifest.image[rows].tolist()})
    listed = ", ".join(map(str, rows[:16].tolist())) + (" …" if len(rows) > 16 else "")
    images = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    rate = state.optimiser.param_groups[0]["lr"]
    return (
        f"The loss became {loss} at epoch {state.epoch + 1}, step {state.step + 1}, in the batch of patches {listed} "
        f"({images}). The best weights so far remain in '{state.folder}'. Lower the learning rate (it was {rate:g}), "
        "or set precision fp32."
    )
