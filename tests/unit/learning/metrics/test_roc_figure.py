from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from qupath_her2.learning.metrics.pixel_counts import PixelTally
from qupath_her2.learning.metrics.roc_figure import roc_figure, window_figure

SVG = "{http://www.w3.org/2000/svg}"


def tally(seed: int, sharpness: float, *, classes: int = 3) -> tuple[PixelTally, np.ndarray, np.ndarray]:
    """A network whose logits are the truth, times a sharpness, plus noise; class 3 is nowhere in the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (60, 60), np.uint8)
    logits = rng.normal(size=(classes, 60, 60)) + sharpness * (np.arange(classes)[:, None, None] == truth)
    p = np.exp(logits) / np.exp(logits).sum(0)
    found = PixelTally(("Background", "Membrane", "Nucleus", "None")[:classes])
    found.add(truth, p)
    return found, truth, p


def curve(document: str, gid: str) -> np.ndarray:
    """Points of a curve in 0..1, (n, 2), scaled by the diagonal, which is drawn from (0, 0) to (1, 1)."""
    tree = ElementTree.fromstring(document)
    (group,) = (one for one in tree.iter(f"{SVG}g") if one.attrib.get("id") == gid)
    path = next(group.iter(f"{SVG}path")).attrib["d"]
    points = np.array(re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path), float)
    low, high = points[0], points[-1]
    return (points - low) / (high - low)


def test_a_drawn_curve_has_the_area_that_its_legend_says_and_scikit_learn_finds() -> None:
    one, truth, p = tally(0, 2.0)
    text = roc_figure({"her2net": one, "unet": tally(1, 4.0)[0]})
    points = curve(text, "roc-Membrane-her2net")
    area = roc_auc_score((truth == 1).ravel(), p[1].ravel())
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(area, abs=2e-3)
    assert f"her2net {area:.3f}" in text
    assert len(points) <= 1002
    assert (np.diff(points, axis=0) >= -1e-6).all()
    better = curve(text, "roc-Membrane-unet")
    assert np.trapezoid(better[:, 1], better[:, 0]) > area
    assert text == roc_figure({"her2net": one, "unet": tally(1, 4.0)[0]})


def test_a_class_without_a_pixel_has_no_curve() -> None:
    text = roc_figure({"unet": tally(0, 2.0, classes=4)[0]})
    assert 'id="roc-Nucleus-unet"' in text
    assert 'id="roc-None-unet"' not in text


def test_window_sizes_are_drawn_in_their_order() -> None:
    rows = [("her2net", side, tally(side, sharpness)[0]) for side, sharpness in ((251, 3.0), (101, 1.0))]
    text = window_figure([*rows, ("her2net", 301, PixelTally(("Background", "Membrane", "Nucleus")))])
    assert "side of a window, px" in text
    assert "her2net" in text
