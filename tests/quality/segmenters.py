"""The four segmenters compared on unseen fields: ``python -m tests.quality.segmenters --out DIR``.

All fields are drawn at 0.25 µm/px: training fields with seeds from 810 000 on, validation 820 000, test 830 000, which
are used for no other training; cells are compared on fields from 835 000 on. All four networks see the same windows in
the same order and equally often, at a small width that a CPU can afford.

Deviations from the recipe ``her2net``, whose defaults are those of the paper, so that a CPU needs minutes: width 8
instead of 32 (Her2Net) and 64, and a dropout of 0.1 in Her2Net; Adam with cosine decay instead of SGD 0.01 with a
weight decay of 0.046, which needs the paper's 500,000 steps of 128 windows; batches of 4, first of windows of 64 px,
for many steps, then of the paper's 251 px.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qupath_her2.learning.metrics.pixel_counts import PixelTally
from qupath_her2.learning.metrics.pixel_evaluation import seconds_per_crop, tally_pixels
from qupath_her2.learning.train.loop import train
from qupath_her2.models.checkpoint import load_checkpoint
from qupath_her2.models.registry import build_model
from qupath_her2.models.settings import (
    AugmentSettings,
    LossSettings,
    PredictSettings,
    ReadSettings,
    ScheduleSettings,
    TrainSettings,
)
from qupath_her2.patches.cutting.cut_windows import scores_of
from qupath_her2.patches.manifest import select
from qupath_her2.patches.targets.drawn_windows import DrawnWindow, DrawnWindows, drawn_windows
from qupath_her2.patches.targets.targets import TARGET_CLASSES
from qupath_her2.report.pixel_tables import SegmenterRow, pixel_tables
from qupath_her2.scoring.agreement.tables import table_text
from qupath_her2.slides.stains.jitter import JitterSettings
from qupath_her2.synthetic.field import draw_field
from qupath_her2.synthetic.presets import PLAIN_SHARES, preset
from qupath_her2.training.segmenter_tables import write_table
from tests.quality.network_cells import compare_cells, comparison_table

NETWORKS = ("her2net", "unet", "segnet", "bayesian-segnet")
#: First seed of training, validation and test fields, and number of fields per score.
PARTS = ((810_000, 3), (820_000, 1), (830_000, 1))
CELL_SEED = 835_000
SMALL_PX, WINDOW_PX, FIELD_PX, UM_PX = 64, 251, 1004, 0.25
OPTIONS: dict[str, dict[str, Any]] = {"her2net": {"dropout": 0.1}}
#: Differences between laboratories and scanners; training and validation fields use them in turn, test fields none.
VARIED: tuple[dict[str, Any], ...] = (
    {},
    {"haematoxylin_od": (0.15, 0.30)},
    {"psf_um": 0.4, "sharpening": 0.0},
    {"stain_scale": 0.75, "crowding": 0.6},
    {"cell_diameter_um": 15.5, "stain_jitter": 0.08},
)


def draw_fields(
    parts: Sequence[tuple[int, int]] = PARTS, varied: Sequence[dict[str, Any]] = VARIED
) -> list[DrawnWindow]:
    """Draw the fields of training, validation and test.

    Parameters
    ----------
    parts : first seed and number of fields per score of each part; the third part is the test part.
    varied : settings used in turn by the fields of training and validation.
    """
    fields = []
    size = {"width_px": FIELD_PX, "height_px": FIELD_PX, "pixel_size_um": UM_PX}
    for split, (first, per_score) in enumerate(parts):
        for seed in range(first, first + per_score):
            for score in PLAIN_SHARES:
                changes = {} if split == 2 else varied[len(fields) % len(varied)]
                field = draw_field(preset("score", seed, score=score, **size, **changes))
                fields.append(DrawnWindow(field, score, split))
    return fields


def settings(epochs: int, learning_rate: float) -> TrainSettings:
    """Return settings for a small network and a short training."""
    return TrainSettings(
        epochs=epochs,
        batch_size=4,
        optimiser="adam",
        schedule=ScheduleSettings(
            kind="cosine", learning_rate=learning_rate, least_learning_rate=1e-5, monitor="macro_f1"
        ),
        loss=LossSettings("cross_entropy_dice"),
        augment=AugmentSettings(stains=JitterSettings()),
        read=ReadSettings(threads=1),
        device="cpu",
        save_every_steps=100,
    )


def train_one(
    name: str,
    small: DrawnWindows,
    data: DrawnWindows,
    folder: Path,
    *,
    width: int,
    epochs: tuple[int, int],
    start_from: Path | None = None,
) -> float:
    """Train a network on small windows, then on large ones, or resume; return CPU seconds.

    Parameters
    ----------
    name : of the network.
    small, data : the same fields in small windows and in those of the network's final size.
    folder : a stopped training in it is resumed.
    width : channels at the top level.
    epochs : on small windows and on large ones; 0 large ones leave the network at the small size.
    start_from : checkpoint of the same network, whose weights are taken over where their shapes agree.
    """
    import torch

    start = time.process_time()

    def tell(where: Any) -> None:
        if where.step % 100 == 0 or where.step == where.steps:
            words = f"{where.epoch}/{where.epochs} {where.step}/{where.steps} {where.loss:.4f}"
            print(f"{name} {words} {time.process_time() - start:.0f} s", flush=True)

    torch.manual_seed(7)
    model = build_model(
        name, len(data.manifest.class_names), weights="random", width=width, **OPTIONS.get(name, {})
    )
    if start_from is not None:
        take_over(model, start_from)
    first = train(
        model,
        small.manifest,
        small,
        settings(epochs[0], 3e-3),
        folder / "small",
        targets=small.targets,
        progress=tell,
    )
    if epochs[1]:
        model, _ = load_checkpoint(first.checkpoint)
        train(
            model, data.manifest, data, settings(epochs[1], 5e-4), folder, targets=data.targets, progress=tell
        )
    return time.process_time() - start


def take_over(model: Any, checkpoint: Path) -> None:
    """Start a network from the weights of another; layers of another shape (the classes) keep their random ones."""
    other, card = load_checkpoint(checkpoint)
    own = model.state_dict()
    own |= {name: values for name, values in other.state_dict().items() if values.shape == own[name].shape}
    model.load_state_dict(own)
    model.weights_source = f"checkpoint {card.model}, sha256 {card.weights_sha256}"


def part_of(data: DrawnWindows, code: int, step: int = 1) -> DrawnWindows:
    rows = np.flatnonzero(data.manifest.split == code)[::step]
    return DrawnWindows(select(data.manifest, rows), data.targets.select(rows), data.pictures[rows])


def evaluate(folder: Path, data: DrawnWindows) -> SegmenterRow:
    """Return the pixel metrics of a trained network on the test part and on every fifth training window."""
    model, card = load_checkpoint(folder / "best")
    predict = PredictSettings(batch_size=4, device="cpu", read=ReadSettings(threads=1))

    def tally(part: DrawnWindows) -> PixelTally:
        scores = scores_of(part.manifest)
        return tally_pixels(model, card, part.manifest, part, part.targets, predict, scores=scores)

    return SegmenterRow(
        name=card.model,
        window_px=card.patch_size_px,
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        seconds_per_crop=seconds_per_crop(model, card.patch_size_px, predict),
        device="one core",
        best_epoch=int(card.metrics["epoch"]),
        tally=tally(part_of(data, 2)),
        training=tally(part_of(data, 0, 5)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="output folder; a stopped training resumes")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument(
        "--widths", type=int, nargs="+", default=[8], help="of all networks, or of each of them"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        nargs=2,
        default=(4, 1),
        help="epochs on small windows and on large ones (0: none)",
    )
    parser.add_argument(
        "--cells",
        type=int,
        default=0,
        metavar="SEEDS",
        help="also compare cells on the fields of this many seeds",
    )
    chosen = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    fields = draw_fields()
    small, data = (drawn_windows(fields, window=side) for side in (SMALL_PX, WINDOW_PX))
    shares = data.targets.counts.sum(0) / data.targets.counts.sum()
    words = ", ".join(f"{name} {share:.3f}" for name, share in zip(TARGET_CLASSES, shares, strict=True))
    print(
        f"{len(small.manifest)} small windows, {len(data.manifest)} large ones; pixels: {words}", flush=True
    )
    rows = []
    widths = chosen.widths * (len(chosen.networks) if len(chosen.widths) == 1 else 1)
    last, windows = ("", data) if chosen.epochs[1] else ("small", small)
    for name, width in zip(chosen.networks, widths, strict=True):
        seconds = train_one(name, small, data, chosen.out / name, width=width, epochs=tuple(chosen.epochs))
        rows.append(evaluate(chosen.out / name / last, windows))
        write_table(chosen.out / "segmenters", rows)
        print(f"{name}: {seconds:.0f} s on one core", flush=True)
    for table in pixel_tables(rows):
        print(table_text(table))
    if chosen.cells:
        seeds = range(CELL_SEED, CELL_SEED + chosen.cells)
        checkpoints = [chosen.out / name / last / "best" for name in chosen.networks]
        print(comparison_table(compare_cells(checkpoints, seeds, tell=print)))


if __name__ == "__main__":
    main()
