"""A small segmenter on synthetic fields: it beats a constant prediction on unseen fields, and learns nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qupath_her2.errors import TrainingError
from qupath_her2.learning.metrics.epoch_metrics import macro_f1
from qupath_her2.learning.metrics.pixel_counts import PixelTally
from qupath_her2.learning.metrics.pixel_evaluation import sample_pixels, seconds_per_crop, tally_pixels
from qupath_her2.learning.train.loop import train
from qupath_her2.models.checkpoint import load_checkpoint
from qupath_her2.models.registry import build_model
from qupath_her2.models.settings import (
    LossSettings,
    PredictSettings,
    ReadSettings,
    ScheduleSettings,
    TrainSettings,
)
from qupath_her2.patches.cutting.cut_windows import scores_of
from qupath_her2.patches.manifest import select
from qupath_her2.patches.targets.drawn_windows import DrawnWindow, DrawnWindows, drawn_windows
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import preset

#: By how much the mean F of the classes exceeds that of the commonest class everywhere, on unseen fields.
MARGIN = 0.2
SIDE = 64
FIELDS = (
    ("1+", 811_001, 0),
    ("2+", 811_002, 0),
    ("3+", 811_003, 0),
    ("2+", 821_001, 1),
    ("3+", 831_001, 2),
    ("1+", 831_002, 2),
)
SETTINGS = TrainSettings(
    epochs=6,
    batch_size=4,
    schedule=ScheduleSettings(learning_rate=5e-3, monitor="macro_f1"),
    loss=LossSettings("cross_entropy", class_weights="balanced"),
    read=ReadSettings(threads=1),
    device="cpu",
)
PREDICT = PredictSettings(batch_size=8, device="cpu", read=ReadSettings(threads=1))


@pytest.fixture(scope="module")
def data() -> DrawnWindows:
    fields = [
        DrawnWindow(
            draw_field(preset("score", seed, score=score, width_px=192, height_px=192, pixel_size_um=0.5)),
            score,
            split,
        )
        for score, seed, split in FIELDS
    ]
    return drawn_windows(fields, window=SIDE)


def segmenter(name: str = "unet", width: int = 4) -> Any:
    torch.manual_seed(0)
    return build_model(name, 3, weights="random", width=width)


def part(data: DrawnWindows, split: int) -> DrawnWindows:
    rows = np.flatnonzero(data.manifest.split == split)
    return DrawnWindows(select(data.manifest, rows), data.targets.select(rows), data.pictures[rows])


def evaluate(checkpoint: Path, data: DrawnWindows) -> PixelTally:
    model, card = load_checkpoint(checkpoint)
    assert (card.task, card.class_names) == ("segmentation", ("Background", "Membrane", "Nucleus"))
    test = part(data, 2)
    return tally_pixels(
        model, card, test.manifest, test, test.targets, PREDICT, scores=scores_of(test.manifest)
    )


def constant_f(data: DrawnWindows) -> float:
    """Mean F of predicting the most frequent training class for every test pixel."""
    common = int(part(data, 0).targets.counts.sum(0).argmax())
    truth = part(data, 2).targets.counts.sum(0)
    counts = np.zeros((3, 3), np.int64)
    counts[:, common] = truth
    return macro_f1(counts)


def test_it_beats_a_constant_prediction_on_unseen_fields(data: DrawnWindows, tmp_path: Path) -> None:
    result = train(segmenter(), data.manifest, data, SETTINGS, tmp_path, targets=data.targets)
    assert result.history[-1].train_loss < result.history[0].train_loss
    tally = evaluate(result.checkpoint, data)
    assert tally.groups == ("1+", "3+")
    assert tally.pooled().mean_f_score > constant_f(data) + MARGIN
    assert tally.pooled().mean_roc_auc > 0.7
    assert result.confusion.sum() == part(data, 1).targets.counts.sum()
    assert {one["name"] for one in result.card.metrics["classes"]} == set(result.card.class_names)


def test_targets_of_other_windows_teach_nothing(data: DrawnWindows, tmp_path: Path) -> None:
    rows = np.arange(len(data.manifest))
    trained = np.flatnonzero(data.manifest.split < 2)
    rows[trained] = np.roll(trained, 4)
    result = train(segmenter(), data.manifest, data, SETTINGS, tmp_path, targets=data.targets.select(rows))
    assert evaluate(result.checkpoint, data).pooled().mean_f_score < constant_f(data) + MARGIN


def test_a_resumed_training_ends_with_the_same_weights(data: DrawnWindows, tmp_path: Path) -> None:
    quick = dataclasses.replace(SETTINGS, epochs=2, save_every_steps=1)
    kept = np.flatnonzero((data.manifest.split == 0) & (data.manifest.image < 2))
    few = DrawnWindows(select(data.manifest, kept), data.targets.select(kept), data.pictures[kept])

    class Stop(BaseException):
        pass

    def stop(where: Any) -> None:
        if where.epoch == 2:
            raise Stop

    train(segmenter(width=2), few.manifest, few, quick, tmp_path / "whole", targets=few.targets)
    with pytest.raises(Stop):
        train(
            segmenter(width=2), few.manifest, few, quick, tmp_path / "cut", targets=few.targets, progress=stop
        )
    train(segmenter(width=2), few.manifest, few, quick, tmp_path / "cut", targets=few.targets)
    assert (tmp_path / "whole/best.safetensors").read_bytes() == (
        tmp_path / "cut/best.safetensors"
    ).read_bytes()


def test_accumulated_parts_equal_the_whole_batch(data: DrawnWindows, tmp_path: Path) -> None:
    rows = np.flatnonzero(data.manifest.split == 0)[:6]
    few = DrawnWindows(select(data.manifest, rows), data.targets.select(rows), data.pictures[rows])
    losses = []
    for micro in (0, 2):
        settings = dataclasses.replace(SETTINGS, epochs=1, batch_size=6, micro_batch_size=micro)
        model = segmenter(width=2).eval()
        # Batch norm sees a part only; without it the parts must add up.
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train = lambda mode=True: None  # type: ignore[method-assign,assignment]
        result = train(model, few.manifest, few, settings, tmp_path / str(micro), targets=few.targets)
        losses.append(result.history[0].train_loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_labels_must_fit_the_kind_of_network(data: DrawnWindows, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="'unet' classifies pixels, but the labels given are of patches"):
        train(segmenter(), data.manifest, data, SETTINGS, tmp_path)
    nothing = data.targets.pack([np.full((SIDE, SIDE), 255, np.uint8)] * len(data.manifest), SIDE, 3)
    with pytest.raises(TrainingError, match="labelled pixels of at least two classes"):
        train(segmenter(), data.manifest, data, SETTINGS, tmp_path, targets=nothing)


def test_dropout_samples_are_reproducible(data: DrawnWindows, tmp_path: Path) -> None:
    few = part(data, 1)
    settings = dataclasses.replace(SETTINGS, epochs=1)
    whole = dataclasses.replace(few.manifest, split=np.zeros(len(few.manifest), np.int8))
    result = train(segmenter("bayesian-segnet", 2), whole, few, settings, tmp_path, targets=few.targets)
    model, card = load_checkpoint(result.checkpoint)
    first, again = (
        tally_pixels(model, card, few.manifest, few, few.targets, PREDICT).roc_auc() for _ in range(2)
    )
    assert first == again
    probabilities, labels = sample_pixels(
        model, card, few.manifest, few, few.targets, PREDICT, rows=np.arange(len(few.manifest)), most=500
    )
    assert probabilities.shape == (len(labels), 3)
    assert 400 <= len(labels) <= 700
    assert np.allclose(probabilities.sum(1), 1, atol=1e-4)
    assert set(labels.tolist()) == {0, 1, 2}


def test_the_time_of_a_crop_is_measured_on_its_windows() -> None:
    class Counting:
        model_name = "unet"
        seen = 0

        def to(self, *_: object, **__: object) -> Counting:
            return self

        def eval(self) -> None:
            pass

        def __call__(self, patches: torch.Tensor) -> torch.Tensor:
            self.seen += len(patches)
            return patches

    net = Counting()
    seconds = seconds_per_crop(net, 32, dataclasses.replace(PREDICT, batch_size=4), windows=8)
    assert net.seen == 4 + 8
    assert seconds > 0
