"""Table III of Her2Net's paper: mixtures of training and test images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qupath_her2.learning.metrics.pixel_counts import PixelTally
from qupath_her2.learning.metrics.pixel_metrics import class_measures
from qupath_her2.report.pixel_mixtures import class_share_table, mixed_confusion, mixture_table
from qupath_her2.report.pixel_tables import SegmenterRow, pixel_tables

CLASSES = ("Background", "Membrane", "Nucleus")


def tally(seed: int, right: float, n: int = 90) -> PixelTally:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (n, n), np.uint8)
    chosen = np.where(rng.random((n, n)) < right, truth, rng.integers(0, 3, (n, n)))
    found = PixelTally(CLASSES)
    found.add(truth, np.eye(3)[chosen].transpose(2, 0, 1) * 0.7 + 0.1)
    return found


ROW = SegmenterRow("her2net", 251, 10, 1.0, "cpu", 1, tally(0, 0.6), tally(1, 0.9, n=30))


def test_the_first_row_is_the_test_set_and_the_average_that_of_all_rows() -> None:
    table = mixture_table([(ROW.name, ROW.tally, tally(1, 0.9, n=30))])
    assert table is not None
    assert [line[:3] for line in table.rows] == [
        ("her2net", "0", "100"),
        ("her2net", "25", "75"),
        ("her2net", "50", "50"),
        ("her2net", "75", "25"),
        ("her2net", "100", "0"),
        ("her2net", "average", ""),
    ]
    figures = np.array([[float(cell) for cell in line[3:]] for line in table.rows])
    measures = class_measures(ROW.tally.confusion(), CLASSES)
    own = [np.mean([getattr(one, name) for one in measures]) for name in ("precision", "recall", "f_score")]
    assert figures[0, :3] == pytest.approx(100 * np.array(own), abs=0.006)
    assert figures[5] == pytest.approx(figures[:5].mean(0), abs=0.006)
    # Training images flatter, which is what the table is to show.
    assert (np.diff(figures[:5, 4]) > 0).all()
    assert (np.diff(figures[:5, 5]) < 0).all()


def test_a_mixture_does_not_depend_on_how_many_pixels_each_part_has() -> None:
    training, test = np.diag([10, 20, 30]), np.full((3, 3), 7)
    once = mixed_confusion(training, test, 0.25)
    assert np.abs(once - mixed_confusion(100 * training, test, 0.25)).max() <= 1
    assert once.sum() == pytest.approx(10**12, abs=9)
    # Recall of a class over the mixture, by hand.
    own = 0.25 * 10 / 60 + 0.75 * 7 / 63
    assert class_measures(once, CLASSES)[0].recall == pytest.approx(own / (own + 0.75 * 14 / 63), abs=1e-9)


def test_networks_without_counts_of_training_images_have_no_mixtures() -> None:
    assert mixture_table([]) is None
    assert len(pixel_tables([replace(ROW, training=None)])) == 2
    assert pixel_tables([ROW])[-1].title == "Mixtures of training and test images"


def test_shares_of_pixels_by_part_and_class() -> None:
    parts = {"train": np.array([600, 300, 100]), "validation": np.zeros(3, int), "test": np.array([1, 1, 2])}
    table = class_share_table(parts, CLASSES)
    assert table.header == ("part", "pixels", "Background, %", "Membrane, %", "Nucleus, %")
    assert table.rows == (("train", "1,000", "60.0", "30.0", "10.0"), ("test", "4", "25.0", "25.0", "50.0"))
