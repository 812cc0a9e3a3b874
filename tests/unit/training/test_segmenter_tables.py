from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from qupath_her2.learning.metrics.pixel_counts import PixelTally
from qupath_her2.patches.targets.targets import TARGET_CLASSES
from qupath_her2.report.pixel_mixtures import class_share_table
from qupath_her2.report.pixel_tables import SegmenterRow
from qupath_her2.training.segmenter_tables import write_table


def row() -> SegmenterRow:
    tally = PixelTally(TARGET_CLASSES)
    labels = np.array([[0, 0, 1, 2]], np.uint8)
    chosen = np.array([0, 1, 1, 2])
    probabilities = np.eye(3, dtype=np.float32)[:, chosen][:, None] * 0.7 + 0.1
    tally.add(labels, probabilities)
    return SegmenterRow("unet", 64, 1234, 2.5, "cpu", 3, tally)


def test_the_table_has_the_pixel_counts_of_the_tally(tmp_path: Path) -> None:
    write_table(tmp_path / "new" / "pixels", [row()])
    (found,) = json.loads((tmp_path / "new" / "pixels.json").read_bytes())
    assert (found["network"], found["parameters"], found["best_epoch"]) == ("unet", 1234, 3)
    assert found["groups"]["all"]["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    with (tmp_path / "new" / "pixels.csv").open(encoding="utf-8-sig", newline="") as file:
        assert any("unet" in cells for cells in csv.reader(file))
    assert "unet" in (tmp_path / "new" / "pixels.txt").read_text(encoding="utf-8")


def test_curves_are_pictures_and_window_sizes_have_one_of_their_own(tmp_path: Path) -> None:
    shares = class_share_table({"train": np.array([8, 1, 1]), "test": np.zeros(3, int)}, TARGET_CLASSES)
    write_table(tmp_path / "rivals", [row(), replace(row(), name="her2net")], [shares])
    assert {path.name for path in tmp_path.iterdir()} == {
        f"rivals{ending}" for ending in (".csv", ".txt", ".json", "-roc.svg")
    }
    picture = (tmp_path / "rivals-roc.svg").read_text(encoding="utf-8")
    assert 'id="roc-Membrane-unet"' in picture
    assert 'id="roc-Nucleus-her2net"' in picture
    assert "Labelled pixels" in (tmp_path / "rivals.txt").read_text(encoding="utf-8")
    write_table(tmp_path / "windows", [row(), replace(row(), window_px=128)])
    assert "unet, 128 px" in (tmp_path / "windows-roc.svg").read_text(encoding="utf-8")
    assert (tmp_path / "windows-auc.svg").is_file()
