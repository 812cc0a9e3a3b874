from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from qupath_her2.learning.metrics.curves import confusion_figure, training_curves
from qupath_her2.learning.metrics.epoch_metrics import EpochRecord

SVG = "{http://www.w3.org/2000/svg}"


def record(epoch: int, loss: float, validation: float = math.nan) -> EpochRecord:
    share = math.nan if math.isnan(validation) else 0.75
    return EpochRecord(epoch, 1e-3, loss, 0.5, validation, share, share)


def points_of(tree: ElementTree.Element, curve: str) -> np.ndarray:
    """Pixel coordinates of a curve's points, (n, 2)."""
    (group,) = (group for group in tree.iter(f"{SVG}g") if group.attrib.get("id") == curve)
    path = next(group.iter(f"{SVG}path")).attrib["d"]
    return np.array(re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path), float)


def test_curves_go_through_their_points() -> None:
    text = training_curves([record(1, 1.0, 2.0), record(2, 0.5, 1.0), record(3, 0.0, 0.5)])
    tree = ElementTree.fromstring(text)
    training, validation = (points_of(tree, f"loss-{name}") for name in ("training", "validation"))
    assert np.allclose(np.diff(training[:, 0]), np.diff(training[:, 0])[0], atol=1e-4), (
        "epochs at equal distances"
    )
    assert np.allclose(training[:, 0], validation[:, 0])
    # One scale for both curves: the loss is a linear function of the height, and grows upwards.
    heights = np.concatenate([training[:, 1], validation[:, 1]])
    slope, zero = np.polyfit([1.0, 0.5, 0.0, 2.0, 1.0, 0.5], heights, 1)
    assert slope < 0
    assert zero + slope * np.array([1.0, 0.5, 0.0, 2.0, 1.0, 0.5]) == pytest.approx(heights, abs=1e-3)
    words = [node.text for node in tree.iter(f"{SVG}text")]
    assert {"Loss", "Accuracy", "training", "validation", "validation, macro F1", "epoch"} <= set(words)


def test_the_same_history_gives_the_same_bytes() -> None:
    history = [record(1, 1.0, 2.0), record(2, 0.5, 1.0)]
    assert training_curves(history) == training_curves(history)


def test_without_validation_no_curve_is_drawn_for_it() -> None:
    text = training_curves([record(1, 1.0)])
    assert "nan" not in text.lower()
    assert "validation" not in text
    tree = ElementTree.fromstring(text)
    # A single epoch has no line, so its marker must be there.
    for curve in ("loss-training", "accuracy-training"):
        (group,) = (group for group in tree.iter(f"{SVG}g") if group.attrib.get("id") == curve)
        assert len(list(group.iter(f"{SVG}use"))) == 1


def test_a_confusion_matrix_shows_counts_and_shares_of_the_true_class() -> None:
    text = confusion_figure(np.array([[3, 1], [0, 0]]), ("0 & <low>", "$high$"), "Cases")
    words = [node.text for node in ElementTree.fromstring(text).iter(f"{SVG}text")]
    assert words.count("0 & <low>") == words.count("$high$") == 2
    first = words.index("3")
    assert words[first : first + 8] == ["3", "75 %", "1", "25 %", "0", "0 %", "0", "0 %"]
    assert {"Cases", "predicted", "true"} <= set(words)
