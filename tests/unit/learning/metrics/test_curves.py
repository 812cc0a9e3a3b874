from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest

from qupath_her2.learning.metrics.curves import confusion_figure, training_curves
from qupath_her2.learning.metrics.epoch_metrics import EpochRecord, accuracy, confusion, macro_f1

SVG = "{http://www.w3.org/2000/svg}"


def record(epoch: int, loss: float, validation: float = math.nan) -> EpochRecord:
    share = math.nan if math.isnan(validation) else 0.75
    return EpochRecord(epoch, 1e-3, loss, 0.5, validation, share, share)


def test_curves_go_through_their_points() -> None:
    tree = ElementTree.fromstring(
        training_curves([record(1, 1.0, 2.0), record(2, 0.5, 1.0), record(3, 0.0, 0.5)])
    )
    lines = [line.attrib["points"] for line in tree.iter(f"{SVG}polyline")]
    assert len(lines) == 5
    points = [tuple(map(float, point.split(","))) for point in lines[0].split()]
    # A loss of 1.0 lies half way up to the highest, 2.0; 0 on the floor; epochs at equal distances.
    assert [y for _, y in points] == pytest.approx([34 + 190 / 2, 34 + 190 * 0.75, 34 + 190])
    assert [x for x, _ in points] == pytest.approx([56, 56 + 150, 56 + 300])


def test_without_a_validation_nothing_is_drawn_for_it() -> None:
    text = training_curves([record(1, 1.0)])
    assert "nan" not in text
    assert "validation" not in text
    assert len(list(ElementTree.fromstring(text).iter(f"{SVG}circle"))) == 2


def test_confusion_picture_shows_counts_and_shares_by_true_class() -> None:
    text = confusion_figure(np.array([[3, 1], [0, 0]]), ("0 & <low>", "high"), "Cases")
    words = [node.text for node in ElementTree.fromstring(text).iter(f"{SVG}text")]
    assert words.count("0 & <low>") == 2
    assert words[-8:] == ["3", "75 %", "1", "25 %", "0", "0 %", "0", "0 %"]


def test_measures_are_scikit_learns() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 300)
    chosen = np.where(rng.random(300) < 0.6, truth, rng.integers(0, 3, 300))
    counts = confusion(truth, chosen, 5)
    assert np.array_equal(counts, metrics.confusion_matrix(truth, chosen, labels=np.arange(5)))
    assert accuracy(counts) == metrics.accuracy_score(truth, chosen)
    assert macro_f1(counts) == pytest.approx(metrics.f1_score(truth, chosen, average="macro"))
    assert math.isnan(accuracy(np.zeros((2, 2), np.int64)))
    assert math.isnan(macro_f1(np.zeros((2, 2), np.int64)))


def test_records_survive_json() -> None:
    for one in (record(3, 0.1 + 0.2), record(1, 1 / 3, 2 / 3)):
        back = EpochRecord.from_dict(one.to_dict())
        assert repr(back) == repr(one)
