"""Training: one visible loop over epochs, batches, and the parts of a batch that fit into memory."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from qupath_her2.errors import TrainingError
from qupath_her2.learning.dataset import PatchReader, TargetReader, batch_rows, read_batches
from qupath_her2.learning.device import describe_device, memory_layout
from qupath_her2.learning.metrics.curves import training_curves
from qupath_her2.learning.metrics.epoch_metrics import EpochRecord
from qupath_her2.learning.metrics.pixel_metrics import class_measures
from qupath_her2.learning.train.optimiser_step import train_step
from qupath_her2.learning.train.parallel import join_process_group
from qupath_her2.learning.train.schedule import learning_rate
from qupath_her2.learning.train.seeding import epoch_order
from qupath_her2.learning.train.setup import (
    Setup,
    check_data,
    check_supervision,
    initial_card,
    make_setup,
    new_state,
)
from qupath_her2.learning.train.state_file import averaged
from qupath_her2.learning.train.training_state import TrainingState
from qupath_her2.learning.train.validation import validate
from qupath_her2.models.card import ModelCard, read_card
from qupath_her2.models.checkpoint import save_checkpoint
from qupath_her2.models.optional import need
from qupath_her2.models.settings import TrainSettings
from qupath_her2.patches.pixels.patch_pixels import reading_order
from qupath_her2.project.exchange.writing import output_errors, replace_file

if TYPE_CHECKING:
    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = ["TrainProgress", "TrainResult", "train"]

#: Name of the checkpoint in the output folder.
_BEST = "best"
Progress = Callable[["TrainProgress"], None]


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """Where a training is: `epoch` of `epochs` from 1, `step` of `steps` within it, the mean loss of the epoch so
    far, and the record of the last finished epoch.
    """  # noqa: D205

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    last: EpochRecord | None


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What came out.

    Attributes
    ----------
    checkpoint
        The best weights, path without suffix; ``.safetensors`` and ``.json``.
    card
        Of the best weights.
    history
        One record an epoch, taken-up epochs included.
    best_epoch
        From 1.
    confusion
        int64 (C, C) of the validation with the best weights, row the truth; zeros without a validation.
    unread
        One sentence for each patch that could not be read and was left out.
    warnings
        What a reader of the figures must know.
    device
        Where it ran.
    seconds
        Of this call.
    """

    checkpoint: Path
    card: ModelCard
    history: tuple[EpochRecord, ...]
    best_epoch: int
    confusion: NDArray[np.int64]
    unread: tuple[str, ...]
    warnings: tuple[str, ...]
    device: str
    seconds: float


def train(
    model: Any,
    manifest: PatchManifest,
    pixels: PatchReader,
    settings: TrainSettings | None,
    out_dir: Path,
    *,
    targets: TargetReader | None = None,
    recipe: str = "",
    stain: str | None = None,
    stain_maps: Sequence[DensityMap] | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
    resume: bool = True,
) -> TrainResult:
    """Train a network on the patches of split 0 and keep the weights that do best on those of split 1.

    The curve depends on the data, the settings and the model's first weights alone: a training that was killed
    and is called again with the same goes on to the same curve (bit for bit on a processor with as many threads of
    torch; a GPU adds up in an order of its own). Its state lies in `out_dir` and is never unpickled.

    Parameters
    ----------
    model
        Of `models.build_model`; changed in place, and left with its last weights.
    manifest
        Labelled and split; unlabelled patches and split -1 are left out.
    pixels
        Its reader.
    settings
        See `TrainSettings`.
    targets
        Of a segmenter: the truth of every pixel, row by row as `manifest`; the labels are then not looked at.
    out_dir
        Gets ``best.safetensors``, ``best.json``, ``state.safetensors``, ``history.json``, ``curves.svg``.
    recipe
        Its name, for the card.
    stain, stain_maps
        The name of a stain normalisation for the card ("macenko"), and its map for each image.
    progress
        Called after every step; may raise KeyboardInterrupt to end: the next call goes on.
    resume
        Go on from the state in `out_dir` if there is one.

    Returns
    -------
    TrainResult
        TrainResult

    Raises
    ------
    TrainingError
        A case in two splits; too few patches; a loss that is not a number, with step and patches; a state of
        another training; no patch that can be read.
    MissingExtraError
        torch is not installed.
    OutputError
        `out_dir` cannot be written; what was there is still there.
    """
    need("torch", "timm", "safetensors")
    import torch

    begun = time.monotonic()
    s = settings or TrainSettings()
    check_supervision(model, targets)
    rows, validation, warnings = check_data(manifest, s, targets)
    # Nothing depends on the order of validation, so it is the quickest to read.
    order = reading_order(manifest)
    validation = order[np.isin(order, validation)]
    with output_errors(out_dir):
        out_dir.mkdir(parents=True, exist_ok=True)
    with join_process_group(s.device) as world:
        gpus = [world.device.index or 0] if world.device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus):
            layout = memory_layout(world.device, is_dense=targets is not None)
            model.to(world.device, memory_format=layout)
            setup = make_setup(model, manifest, pixels, s, world, rows, stain_maps, targets)
            card = initial_card(model, manifest, recipe, stain)
            run = new_state(model, setup, out_dir, card)
            if resume:
                run.resume()
            while not run.is_over:
                _train_epoch(setup, run, progress)
                _close_epoch(setup, run, validation, card, warnings)
            # Nobody reads the best weights before they are written.
            world.wait()
            device = describe_device(world.device)
    return TrainResult(
        out_dir / _BEST,
        read_card(out_dir / _BEST),
        tuple(run.history),
        run.watch.best_epoch,
        np.array(run.confusion, np.int64),
        tuple(run.unread[row] for row in sorted(run.unread)),
        tuple(warnings),
        device,
        time.monotonic() - begun,
    )


def _train_epoch(setup: Setup, run: TrainingState, progress: Progress | None) -> None:
    """Go through the training patches once, from `run.step` on."""
    s, world = setup.settings, setup.world
    order = epoch_order(setup.rows, s.seed, run.epoch)
    batches = batch_rows(order, s.batch_size, least=2 * world.size)
    own = [world.share(rows) for rows in batches[run.step :]]
    side, is_gpu = setup.manifest.patch_size_px, world.device.type == "cuda"
    setup.net.train()
    reading = read_batches(setup.pixels, own, side, s.read, targets=setup.targets, pinned=is_gpu)
    with contextlib.closing(reading):
        for batch in reading:
            done = run.epoch * len(batches) + run.step
            rate = learning_rate(s.schedule, done, len(batches), s.epochs, run.watch.share)
            for group in run.optimiser.param_groups:
                group["lr"] = rate
            run.unread |= {error.row: str(error) for error in batch.unread}
            sums = train_step(setup, run, batch)
            run.sums = [before + new for before, new in zip(run.sums, sums, strict=True)]
            run.step += 1
            if progress is not None and world.rank == 0:
                loss = run.sums[0] / max(run.sums[1], 1e-12)
                last = run.history[-1] if run.history else None
                progress(TrainProgress(run.epoch + 1, s.epochs, run.step, len(batches), loss, last))
            if s.save_every_steps and run.step % s.save_every_steps == 0:
                _save(setup, run)


def _save(setup: Setup, run: TrainingState) -> None:
    run.unread = setup.world.merged(run.unread)
    if setup.world.rank == 0:
        run.save()


def _close_epoch(
    setup: Setup, run: TrainingState, validation: NDArray[np.int64], card: ModelCard, warnings: Sequence[str]
) -> None:
    """Validate, keep the weights if they are the best so far, and put the state on the disk."""
    loss, weight, right, seen = run.sums
    if seen == 0:
        reason = next(iter(setup.world.merged(run.unread).values()), "")
        raise TrainingError(
            f"None of the {len(setup.rows)} training patches could be read. The first: {reason}"
        )
    rate = run.optimiser.param_groups[0]["lr"]
    is_first = setup.world.rank == 0
    # Batch statistics are each process's own; what is validated must be what is kept.
    setup.world.align([*run.model.buffers(), *(run.average or {}).values()])
    with averaged(run.model, run.average):
        found = validate(setup, run.model, validation, run.micro)
        run.unread |= found.unread
        record = EpochRecord(run.epoch + 1, rate, loss / weight, right / seen, *found.figures())
        if run.close_epoch(record):
            run.confusion = found.counts.tolist()
            if is_first:
                figures: dict[str, Any] = {
                    **record.to_dict(),
                    "confusion": run.confusion,
                    "warnings": list(warnings),
                }
                if setup.targets is not None:
                    figures["classes"] = [
                        dataclasses.asdict(one) for one in class_measures(found.counts, card.class_names)
                    ]
                save_checkpoint(run.folder / _BEST, run.model, dataclasses.replace(card, metrics=figures))
    # What people look at comes before the state: a kill in between leaves nothing behind that is never written.
    if is_first:
        history = [one.to_dict() for one in run.history]
        replace_file(run.folder / "history.json", orjson.dumps(history, option=orjson.OPT_INDENT_2))
        replace_file(run.folder / "curves.svg", training_curves(run.history).encode())
    _save(setup, run)
