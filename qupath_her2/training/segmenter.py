"""Training a segmenter: from windows with pixel labels to a checkpoint with its card and table of test metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qupath_her2.errors import SettingsError, TrainingError
from qupath_her2.learning.inference.calibration import fit_temperature
from qupath_her2.learning.metrics.curves import confusion_figure
from qupath_her2.learning.metrics.pixel_counts import PixelTally
from qupath_her2.learning.metrics.pixel_evaluation import sample_pixels, seconds_per_crop, tally_pixels
from qupath_her2.learning.train.loop import train
from qupath_her2.models.card import ModelCard
from qupath_her2.models.checkpoint import load_checkpoint, save_card
from qupath_her2.models.registry import find_model
from qupath_her2.patches.cutting.cut_windows import scores_of
from qupath_her2.patches.manifest import SPLITS, PatchManifest, select
from qupath_her2.patches.pixels.patch_pixels import PatchPixels
from qupath_her2.patches.tasks import SEGMENTATION
from qupath_her2.project.exchange.writing import replace_file
from qupath_her2.report.pixel_mixtures import class_share_table
from qupath_her2.report.pixel_tables import SegmenterRow
from qupath_her2.training.classifier import training_record
from qupath_her2.training.initial_weights import build_initial_model
from qupath_her2.training.segmenter_tables import write_table
from qupath_her2.training.types import TrainJob

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qupath_her2.learning.train.loop import TrainProgress, TrainResult
    from qupath_her2.patches.targets.stored_targets import Targets

__all__ = [
    "TrainedSegmenter",
    "check_model_fits_task",
    "train_and_compare",
    "train_segmenter",
]

#: Memory for decoded windows, bytes. Windows beyond it are read from the slides again in each epoch.
_CACHE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class TrainedSegmenter:
    """A trained segmenter.

    Attributes
    ----------
    checkpoint, card
        The network; path without ending.
    result
        History of the training.
    row
        Metrics of the test part; None without one.
    """

    checkpoint: Path
    card: ModelCard
    result: TrainResult
    row: SegmenterRow | None


def check_model_fits_task(model: str, task: str) -> None:
    """Raise SettingsError if a segmenter is given a task with patch labels, or a classifier one with pixel labels."""
    is_dense = find_model(model).kind == "segmentation"
    if is_dense != (task == SEGMENTATION.name):
        kinds = ("segments pixels", "patches") if is_dense else ("classifies patches", "pixels")
        raise SettingsError(
            f"Model '{model}' {kinds[0]}, but the task '{task}' labels {kinds[1]}. Choose another --model "
            "or another --recipe."
        )


def train_segmenter(
    job: TrainJob,
    *,
    progress: Callable[[TrainProgress], None] | None = None,
    predicting: Callable[[int, int], None] | None = None,
) -> TrainedSegmenter:
    """Train a segmenter, calibrate it on the validation part, and evaluate it on the test part.

    Written beside the checkpoint: ``history.json``, ``curves.svg``, ``confusion.svg``, ``training.json`` and, with a
    test part, ``test/pixels.csv``, ``.txt``, ``.json`` and ``test/pixels-roc.svg``.

    Parameters
    ----------
    job
        The training, with `targets`.
    progress
        Called after each step of the training.
    predicting
        Called with test windows done and in total.

    Returns
    -------
    TrainedSegmenter
        The checkpoint with its row of metrics.

    Raises
    ------
    TrainingError, ModelError, OutputError
        See `learning.train.loop.train` and `models.registry.build_model`.
    """
    if job.targets is None:
        raise TrainingError(
            f"Recipe '{job.recipe.name}' trains a segmenter, but these patches have no pixel labels. Cut windows with "
            f"them: qupath-her2 patches FOLDER --recipe {job.recipe.name}."
        )
    manifest, targets = job.manifest, job.targets
    if job.is_control:
        manifest, targets = shuffled_targets(manifest, targets, job.settings.train.seed)
    model = build_initial_model(job)
    with PatchPixels(manifest, cache_bytes=_CACHE_BYTES) as pixels:
        result = train(
            model,
            manifest,
            pixels,
            job.settings.train,
            job.out,
            targets=targets,
            recipe=job.recipe.name,
            progress=progress,
            resume=job.resume,
        )
        # The best epoch, not the last one, which `model` holds now. Calibrated in here, where the windows are cached.
        model, card = load_checkpoint(result.checkpoint)
        card = _calibrated(model, card, manifest, pixels, targets, job)
    save_card(result.checkpoint, card)
    picture = confusion_figure(result.confusion, manifest.class_names, "Validation pixels")
    replace_file(job.out / "confusion.svg", picture.encode())
    row = _test_row(model, card, result, job, predicting)
    if row is not None:
        parts = {
            name: job.targets.counts[job.manifest.split == code].sum(0) for code, name in enumerate(SPLITS)
        }
        write_table(job.out / "test" / "pixels", [row], [class_share_table(parts, card.class_names)])
        test_picture = confusion_figure(row.tally.confusion(), card.class_names, "Test pixels")
        replace_file(job.out / "test" / "confusion.svg", test_picture.encode())
    # The job's own manifest, not the shuffled one of a control: the record describes the data set.
    n_test = int((job.manifest.split == 2).sum())
    replace_file(job.out / "training.json", training_record(job, result, n_test))
    return TrainedSegmenter(result.checkpoint, card, result, row)


def shuffled_targets(manifest: PatchManifest, targets: Targets, seed: int) -> tuple[PatchManifest, Targets]:
    """Return the windows with the pixel labels of training and validation permuted; the test part keeps its own.

    Parameters
    ----------
    manifest
        Windows with their split.
    targets
        Pixel labels, in the order of its rows.
    seed
        Seed of the permutation.

    Returns
    -------
    tuple[PatchManifest, Targets]
        The manifest records the permutation in its settings.
    """
    # Whole label images are exchanged between windows: the pixel counts of the classes stay as they are.
    rng = np.random.default_rng(seed)
    rows = np.arange(len(manifest))
    for part in (0, 1):
        own = np.flatnonzero(manifest.split == part)
        rows[own] = rng.permutation(own)
    settings = {**manifest.settings, "labels": f"shuffled, seed {seed}"}
    return replace(manifest, settings=settings), targets.select(rows)


def _calibrated(
    model: Any, card: ModelCard, manifest: PatchManifest, pixels: PatchPixels, targets: Targets, job: TrainJob
) -> ModelCard:
    """Return the card with the temperature that maximises the likelihood of the validation pixels."""
    # A window without a labelled pixel says nothing, but would take its share of the sample.
    rows = np.flatnonzero((manifest.split == 1) & targets.counts.any(axis=1))
    if len(rows) == 0:
        return card
    probabilities, labels = sample_pixels(
        model, card, manifest, pixels, targets, job.settings.predict, rows=rows
    )
    return replace(card, temperature=card.temperature * fit_temperature(probabilities, labels))


def _test_row(
    model: Any,
    card: ModelCard,
    result: TrainResult,
    job: TrainJob,
    predicting: Callable[[int, int], None] | None,
) -> SegmenterRow | None:
    """Return the metrics of the test part; None where it has no window."""
    assert job.targets is not None
    # True labels, also for a control: it must fail here.
    rows = np.flatnonzero((job.manifest.split == 2) & job.targets.counts.any(axis=1))
    if len(rows) == 0:
        return None
    # As many training windows as test windows, evenly from all: enough for the paper's mixtures of both.
    trained = np.flatnonzero((job.manifest.split == 0) & job.targets.counts.any(axis=1))
    trained = trained[
        np.unique(np.linspace(0, len(trained) - 1, min(len(rows), len(trained))).round().astype(int))
    ]
    side, predict = job.manifest.patch_size_px, job.settings.predict
    return SegmenterRow(
        name=job.model,
        window_px=side,
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        # Measured on this machine, which the row names: a figure to compare networks, not computers.
        seconds_per_crop=seconds_per_crop(model, side, predict),
        device=result.device,
        best_epoch=result.best_epoch,
        tally=_tally(model, card, job, rows, predicting),
        training=_tally(model, card, job, trained, None),
    )


def _tally(
    model: Any,
    card: ModelCard,
    job: TrainJob,
    rows: NDArray[np.int64],
    progress: Callable[[int, int], None] | None,
) -> PixelTally:
    """Count the network's predictions on some windows of the job, by the HER2 score of their images."""
    assert job.targets is not None
    part, predict = select(job.manifest, rows), job.settings.predict
    with PatchPixels(part) as pixels:
        return tally_pixels(
            model,
            card,
            part,
            pixels,
            job.targets.select(rows),
            predict,
            scores=scores_of(part),
            progress=progress,
        )


def train_and_compare(
    jobs: Sequence[TrainJob],
    table: Path,
    *,
    progress: Callable[[TrainProgress], None] | None = None,
    predicting: Callable[[int, int], None] | None = None,
    on_start: Callable[[TrainJob], None] | None = None,
) -> tuple[TrainedSegmenter, ...]:
    """Train several segmenters in turn, and write one table that compares them.

    Parameters
    ----------
    jobs
        Trainings of different networks on the same windows, or of one network on windows of different sizes.
    table
        Path of the table without ending: ``.csv``, ``.txt`` and ``.json`` are written.
    progress, predicting
        See `train_segmenter`.
    on_start
        Called with each job before it starts.

    Returns
    -------
    tuple[TrainedSegmenter, ...]
        In the order of `jobs`.

    Raises
    ------
    TrainingError
        There is no test part, so the table would be empty.
    """
    # Before the first training, which may take hours.
    for job in jobs:
        if not (job.manifest.split == 2).any():
            raise TrainingError(
                "There is no test part, so the networks cannot be compared on unseen cases. "
                "Split with a test share (--shares), or leave --rivals out."
            )
    done = []
    for job in jobs:
        if on_start is not None:
            on_start(job)
        done.append(train_segmenter(job, progress=progress, predicting=predicting))
        rows = [one.row for one in done if one.row is not None]
        # After each network, so that a stopped comparison keeps its results so far.
        write_table(table, rows)
    return tuple(done)
