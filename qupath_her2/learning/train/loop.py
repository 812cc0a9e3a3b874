"""Training loop: epochs, batches, validation, and the best checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
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
from qupath_her2.learning.train.training_state import TrainingState
from qupath_her2.learning.train.validation import ValidationResult, validate
from qupath_her2.models.card import ModelCard, read_card
from qupath_her2.models.checkpoint import save_checkpoint
from qupath_her2.models.optional import need
from qupath_her2.models.settings import TrainSettings
from qupath_her2.project.exchange.writing import output_errors, replace_file

if TYPE_CHECKING:
    import torch

    from qupath_her2.patches.manifest import PatchManifest
    from qupath_her2.slides.stains.density_map import DensityMap

__all__ = ["TrainProgress", "TrainResult", "train"]

#: Name of the checkpoint in the output folder.
_BEST = "best"


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """Progress of a training.

    Attributes
    ----------
    epoch, epochs
        Current epoch, from 1, and their number.
    step, steps
        Steps done in it, and their number.
    loss
        Mean training loss of the epoch so far.
    last
        Record of the last finished epoch, if any.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    last: EpochRecord | None


Progress = Callable[[TrainProgress], None]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Result of a training.

    Attributes
    ----------
    checkpoint
        The best weights, path without suffix; ``.safetensors`` and ``.json``.
    card
        Card of the best weights.
    history
        One record per epoch, those before a resumption included.
    best_epoch
        Epoch of the best weights, from 1.
    confusion
        int64 (C, C), validation with the best weights, rows are the true classes; zeros without a validation split.
    unread
        One sentence for each patch that could not be read and was left out.
    warnings
        Limits on what the metrics mean.
    device
        Name of the device.
    seconds
        Duration of this call.
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
    progress: Progress | None = None,
    resume: bool = True,
) -> TrainResult:
    """Train a network on the patches of split 0 and keep the weights that do best on those of split 1.

    The result depends only on the data, the settings and the initial weights: a training that was killed and is called
    again with the same arguments ends with the same weights (bit for bit on a CPU with the same number of torch
    threads; sums on a GPU vary in the last digits). Its state is kept in `out_dir` and is never unpickled.

    Parameters
    ----------
    model
        From `models.build_model`; changed in place, and left with its last weights.
    manifest
        Labelled patches with splits; unlabelled patches and split -1 are ignored.
    pixels
        Reader of the patches.
    settings
        Settings; None takes the defaults.
    out_dir
        Folder for ``best.safetensors``, ``best.json``, ``state.safetensors``, ``history.json`` and ``curves.svg``.
    targets
        For a segmenter, the class of every pixel, row by row as in `manifest`, whose labels are then ignored.
    recipe
        Name of the recipe, for the card.
    stain, stain_maps
        Name of a stain normalisation for the card ("macenko"), and its map for each image.
    progress
        Called after every step and every epoch; may raise KeyboardInterrupt to stop, to be resumed by the next call.
    resume
        Resume from the state in `out_dir`, if there is one.

    Returns
    -------
    TrainResult
        Best weights, history and warnings.

    Raises
    ------
    TrainingError
        A case in two splits, too few patches, a loss that is not finite, the state of another training, or no
        readable patch.
    OutputError
        `out_dir` cannot be written; earlier files there are intact.
    """
    need("torch", "timm", "safetensors")
    started, s = time.monotonic(), settings or TrainSettings()
    check_supervision(model, targets)
    rows, validation, warnings = check_data(manifest, s, targets)
    with output_errors(out_dir):
        out_dir.mkdir(parents=True, exist_ok=True)
    with join_process_group(s.device) as processes, _own_randomness(processes.device):
        layout = memory_layout(processes.device, is_dense=targets is not None)
        model.to(processes.device, memory_format=layout)
        setup = make_setup(model, manifest, pixels, s, processes, rows, stain_maps, targets)
        card = initial_card(model, manifest, recipe, stain)
        state = new_state(model, setup, out_dir, card)
        if resume:
            state.resume()
        while not state.is_over:
            steps = _train_epoch(setup, state, progress)
            _close_epoch(setup, state, validation, card, warnings)
            if progress is not None and processes.rank == 0:
                # No later step would report the record of the last epoch.
                last = state.history[-1]
                progress(TrainProgress(last.epoch, s.epochs, steps, steps, last.train_loss, last))
        # The first process writes the best weights; the others must not read them before.
        processes.barrier()
    return _result(state, warnings, describe_device(processes.device), time.monotonic() - started)


@contextlib.contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Leave the caller's random numbers as they were: training seeds torch's global generators at every step."""
    import torch

    with torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else []):
        yield


def _result(state: TrainingState, warnings: Sequence[str], device: str, seconds: float) -> TrainResult:
    return TrainResult(
        state.folder / _BEST,
        read_card(state.folder / _BEST),
        tuple(state.history),
        state.monitor.best_epoch,
        np.array(state.confusion, np.int64),
        tuple(state.unread[row] for row in sorted(state.unread)),
        tuple(warnings),
        device,
        seconds,
    )


def _train_epoch(setup: Setup, state: TrainingState, progress: Progress | None) -> int:
    """Train on all training patches once, starting at `state.step`; return the number of steps in an epoch."""
    s, processes = setup.settings, setup.processes
    # All processes compute the same order and take their shares of it, without communication.
    order = epoch_order(setup.rows, s.seed, state.epoch)
    batches = batch_rows(order, s.batch_size, least=2 * processes.size)
    own = [processes.shard(rows) for rows in batches[state.step :]]
    side, is_gpu = setup.manifest.patch_size_px, processes.device.type == "cuda"
    setup.net.train()
    reading = read_batches(setup.pixels, own, side, s.read, targets=setup.targets, pinned=is_gpu)
    # Closed at once on an exception, or the reader threads would run on until garbage collection.
    with contextlib.closing(reading):
        for batch in reading:
            done = state.epoch * len(batches) + state.step
            # Set for every step from its number, never carried over: see `schedule`.
            rate = learning_rate(s.schedule, done, len(batches), s.epochs, state.monitor.share)
            for group in state.optimiser.param_groups:
                group["lr"] = rate
            state.unread |= {error.row: str(error) for error in batch.unread}
            sums = train_step(setup, state, batch)
            state.sums = [before + new for before, new in zip(state.sums, sums, strict=True)]
            state.step += 1
            if progress is not None and processes.rank == 0:
                # Batches without labelled pixels have weight 0.
                loss = state.sums[0] / max(state.sums[1], 1e-12)
                last = state.history[-1] if state.history else None
                progress(TrainProgress(state.epoch + 1, s.epochs, state.step, len(batches), loss, last))
            if s.save_every_steps and state.step % s.save_every_steps == 0:
                _save_state(setup, state)
    return len(batches)


def _save_state(setup: Setup, state: TrainingState) -> None:
    # Gathered by all processes, though only the first one writes: a collective call that one skipped would hang.
    state.unread = setup.processes.gather(state.unread)
    if setup.processes.rank == 0:
        state.save()


def _close_epoch(
    setup: Setup,
    state: TrainingState,
    validation: NDArray[np.int64],
    card: ModelCard,
    warnings: Sequence[str],
) -> None:
    """Validate, save the weights if they are the best so far, and save the state."""
    loss, weight, correct, seen = state.sums
    if seen == 0:
        reason = next(iter(setup.processes.gather(state.unread).values()), "")
        raise TrainingError(
            f"None of the {len(setup.rows)} training patches could be read. The first: {reason}"
        )
    rate = state.optimiser.param_groups[0]["lr"]
    is_first = setup.processes.rank == 0
    # Batch statistics differ between processes; the weights that are validated must be those that are saved.
    average = {} if state.average is None else state.average.module.state_dict()
    setup.processes.broadcast([*state.model.buffers(), *average.values()])
    found = validate(setup, state.evaluated_model, validation, state.micro)
    state.unread |= found.unread
    # Training metrics are those of the steps, taken for free, not of another pass over the training patches.
    record = EpochRecord(state.epoch + 1, rate, loss / weight, correct / seen, *found.metrics())
    if state.close_epoch(record):
        state.confusion = found.counts.tolist()
        if is_first:
            metrics = {**card.metrics, **_card_metrics(setup, record, found, warnings)}
            save_checkpoint(
                state.folder / _BEST, state.evaluated_model, dataclasses.replace(card, metrics=metrics)
            )
    # The state comes last: a process killed before it redoes the epoch, and writes these files again.
    if is_first:
        history = [one.to_dict() for one in state.history]
        replace_file(state.folder / "history.json", orjson.dumps(history, option=orjson.OPT_INDENT_2))
        replace_file(state.folder / "curves.svg", training_curves(state.history).encode())
    _save_state(setup, state)


def _card_metrics(
    setup: Setup, record: EpochRecord, found: ValidationResult, warnings: Sequence[str]
) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        **record.to_dict(),
        "confusion": found.counts.tolist(),
        "warnings": list(warnings),
    }
    if setup.targets is not None:
        measures = class_measures(found.counts, setup.manifest.class_names)
        metrics["classes"] = [dataclasses.asdict(one) for one in measures]
    return metrics
