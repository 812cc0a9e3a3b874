"""One step of the optimiser: the gradients of a batch, added up from parts that fit into memory."""

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
from qupath_her2.learning.train.state_file import update_average
from qupath_her2.learning.train.training_state import TrainingState

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["train_step"]


def train_step(setup: Setup, run: TrainingState, batch: Batch) -> list[float]:
    """Take one step.

    The loss is the mean over the batch's patches (a segmenter's: their known pixels), each with its class's weight,
    over all parts and processes: how a batch is divided changes the result by rounding only (batch norm apart).

    Returns
    -------
    list[float]
        The batch's sum of losses, of weights, of right answers, and of answers, over all processes.

    Raises
    ------
    TrainingError
        The loss is not a number, or one patch alone is too much for the memory; the weights are those before.
    """
    world, objective = setup.world, setup.objective
    truth = objective.truth(batch)
    if setup.targets is not None:
        truth = setup.prepare.targets(truth.to(world.device, non_blocking=True), batch.rows, run.epoch)
    own_weight = float(objective.weight(truth).sum())
    weight, count = world.total([own_weight, float(objective.n_known(truth))]).tolist()
    if weight == 0:
        return [0.0, 0.0, 0.0, 0.0]
    patches = batch.patches.to(world.device, non_blocking=True)
    truth = truth.to(world.device, non_blocking=True)
    while True:
        try:
            own = _gradients(setup, run, patches, truth, batch.rows, weight)
            break
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            _halve(setup, run, len(batch.rows), error)
    loss, right = world.total(own).tolist()
    if not math.isfinite(loss):
        raise TrainingError(_not_finite(setup, run, batch.rows, loss))
    run.scaler.step(run.optimiser)
    run.scaler.update()
    run.steps_done += 1
    if run.average is not None:
        update_average(run.average, run.model, setup.settings.ema_decay, run.steps_done)
    return [loss, weight, right, count]


def _gradients(
    setup: Setup,
    run: TrainingState,
    patches: Tensor,
    truth: Tensor,
    rows: NDArray[np.int64],
    weight: float,
) -> list[float]:
    """Add up the gradients of a batch; return the sum of its losses and of its right answers."""
    import torch

    world, device, s = setup.world, setup.world.device, setup.settings
    if len(rows) == 0:
        # The other processes wait for this one's gradients: two blank patches that count nothing.
        patches, rows = patches.new_zeros((2, *patches.shape[1:])), setup.rows[:2]
        truth = setup.objective.blank(2, patches.shape[1]).to(device)
    run.optimiser.zero_grad(set_to_none=True)
    # Dropout depends on the step, not on what was drawn before it.
    torch.manual_seed(step_seed(s.seed, run.epoch, run.step, world.rank))
    sums = []
    parts = np.array_split(np.arange(len(rows)), math.ceil(len(rows) / run.micro))
    for number, part in enumerate(parts):
        here = slice(int(part[0]), int(part[-1]) + 1)
        seen = setup.prepare(patches[here], rows[here], run.epoch)
        with world.apart(setup.net, number + 1 < len(parts)):
            with autocast(device, setup.half):
                logits = setup.net(seen)
            losses = setup.objective.losses(logits, truth[here])
            # DistributedDataParallel takes the mean over processes; the loss is the mean over all patches.
            run.scaler.scale(losses.sum() * (world.size / weight)).backward()
        right = setup.objective.n_correct(logits.detach(), truth[here])
        sums.append(torch.stack([losses.detach().sum(), right.float()]))
    # One wait for the device a batch; added up in double precision, which not every device has.
    loss_sum, right_sum = torch.stack(sums).cpu().double().sum(0).tolist()
    return [loss_sum, right_sum]


def _halve(setup: Setup, run: TrainingState, n: int, error: RuntimeError) -> None:
    """Make the parts of a batch half as large, or raise where that is no way out."""
    import torch

    most = min(run.micro, n)
    # Several processes must take their parts in step, so none can divide alone.
    if most <= 1 or setup.world.size > 1:
        raise TrainingError(
            f"The memory of {setup.world.device} is full with {most} patches of {setup.manifest.patch_size_px} px in "
            "the network. Pass a smaller micro_batch_size, or smaller patches."
        ) from error
    run.micro = (most + 1) // 2
    run.optimiser.zero_grad(set_to_none=True)
    if setup.world.device.type == "cuda":
        torch.cuda.empty_cache()


def _not_finite(setup: Setup, run: TrainingState, rows: NDArray[np.int64], loss: float) -> str:
    names = sorted({setup.manifest.images[k].name for k in setup.manifest.image[rows].tolist()})
    listed = ", ".join(map(str, rows[:16].tolist())) + (" …" if len(rows) > 16 else "")
    images = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    rate = run.optimiser.param_groups[0]["lr"]
    return (
        f"The loss became {loss} at epoch {run.epoch + 1}, step {run.step + 1}, in the batch of patches {listed} "
        f"({images}). The best weights so far stay in '{run.folder}'. Lower the learning rate (it was {rate:g}), or "
        "pass precision fp32."
    )
