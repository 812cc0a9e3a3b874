from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import TrainingError
from qupath_her2.learning.metrics.instance_metrics import InstanceCounts, match_labels, match_polygons

Box = tuple[int, int, int, int]


def labels(boxes: list[Box], shape: tuple[int, int] = (12, 24)) -> np.ndarray:
    image = np.zeros(shape, np.int32)
    for number, (left, top, right, bottom) in enumerate(boxes, 1):
        image[top:bottom, left:right] = 7 * number
    return image


def literal(truth: np.ndarray, found: np.ndarray, least: float) -> tuple[int, int, int, float]:
    """Kirillov's definition as loops, for an IoU above the least."""
    total, hits = 0.0, 0
    true, other = set(np.unique(truth)) - {0}, set(np.unique(found)) - {0}
    for t in true:
        for f in other:
            shared = np.sum((truth == t) & (found == f))
            iou = shared / np.sum((truth == t) | (found == f))
            if iou > least:
                hits, total = hits + 1, total + iou
    return hits, len(other) - hits, len(true) - hits, total


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.6, 0.8]))
def test_pairs_are_those_of_the_definition(seed: int, least: float) -> None:
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 4, (3, 4)), np.ones((4, 4), int))
    found = np.where(rng.random(truth.shape) < 0.15, rng.integers(0, 5, truth.shape), np.roll(truth, 1, 1))
    hits, false, missed, total = literal(truth, found, least)
    result = match_labels(truth, found, least_iou=least)
    ties = result.tp - hits
    # Pairs of exactly the least IoU count here and not there.
    assert ties >= 0
    assert result.iou_sum == pytest.approx(total + ties * least)
    assert (result.fp, result.fn) == (false - ties, missed - ties)


def test_a_case_worked_by_hand() -> None:
    truth = labels([(0, 0, 4, 4), (6, 0, 10, 4), (12, 0, 16, 4)])
    found = labels([(0, 0, 4, 3), (6, 0, 10, 4), (13, 2, 16, 4), (20, 0, 22, 4)])
    result = match_labels(truth, found)
    # The third pair shares 6 of 16 pixels; the fourth found one lies on nothing.
    assert result == InstanceCounts(2, 2, 1, 0.75 + 1)
    assert result.precision == pytest.approx(2 / 4)
    assert result.recall == pytest.approx(2 / 3)
    assert result.f1 == pytest.approx(2 / 3.5)
    assert result.segmentation_quality == pytest.approx(0.875)
    assert result.pq == pytest.approx(1.75 / 3.5)
    assert result.pq == pytest.approx(result.f1 * result.segmentation_quality)


def test_exactly_a_half_is_enough_and_counts_once() -> None:
    one, halves = [(0, 0, 4, 4)], [(0, 0, 2, 4), (2, 0, 4, 4)]
    for truth, found, counts in ((one, halves, (1, 1, 0)), (halves, one, (1, 0, 1))):
        result = match_labels(labels(truth), labels(found))
        assert (result.tp, result.fp, result.fn, result.iou_sum) == (*counts, 0.5)
        polygons = match_polygons([shapely.box(*b) for b in truth], [shapely.box(*b) for b in found])
        assert polygons == result
    assert match_labels(labels(one), labels(halves), least_iou=0.51).tp == 0


def test_unlabelled_pixels_neither_help_nor_harm() -> None:
    truth = labels([(0, 0, 4, 4)])
    found = labels([(0, 0, 4, 8), (10, 0, 14, 4), (18, 0, 22, 4)])
    ignore = np.zeros(truth.shape, bool)
    ignore[4:8, 0:4] = True
    ignore[0:3, 10:14] = True
    ignore[0:2, 18:22] = True
    assert match_labels(truth, found).pq == pytest.approx(0.5 / 2)
    # The first is whole now; of the others three quarters and a half lie on unknown ground: more than half excuses.
    assert match_labels(truth, found, ignore=ignore) == InstanceCounts(1, 1, 0, 1.0)
    everything = match_labels(truth, found, ignore=np.ones(truth.shape, bool))
    assert everything == InstanceCounts()
    assert math.isnan(everything.pq)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_polygons_and_pixels_agree_on_boxes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = [(x, y, x + 5, y + 5) for x in range(0, 24, 6) for y in range(0, 12, 6)]
    boxes = [
        [
            (x + int(a), y + int(b), right - int(c), bottom - int(d))
            for (x, y, right, bottom), (a, b, c, d) in zip(
                cells, rng.integers(0, 3, (len(cells), 4)), strict=True
            )
            if rng.random() < 0.8
        ]
        for _ in range(2)
    ]
    pixels = match_labels(labels(boxes[0]), labels(boxes[1]))
    polygons = match_polygons(*([shapely.box(*b) for b in part] for part in boxes))
    assert (pixels.tp, pixels.fp, pixels.fn) == (polygons.tp, polygons.fp, polygons.fn)
    assert pixels.iou_sum == pytest.approx(polygons.iou_sum)


def test_the_best_of_overlapping_polygons_is_matched() -> None:
    true = [shapely.box(0, 0, 10, 10)]
    found = [shapely.box(0, 0, 10, 8), shapely.box(0, 0, 10, 9)]
    assert match_polygons(true, found) == InstanceCounts(1, 1, 0, pytest.approx(0.9))
    crossed = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    assert match_polygons([crossed], [crossed]) == InstanceCounts(1, 0, 0, pytest.approx(1.0))


def test_empty_counts_and_sums() -> None:
    assert match_polygons([], []) == InstanceCounts()
    assert match_polygons(true := [shapely.box(0, 0, 1, 1)], []) == InstanceCounts(0, 0, 1)
    assert match_polygons([], true) == InstanceCounts(0, 1, 0)
    assert match_labels(labels([]), labels([])) == InstanceCounts()
    assert InstanceCounts(1, 2, 3, 0.5) + InstanceCounts(1, 0, 0, 1.0) == InstanceCounts(2, 2, 3, 1.5)
    assert math.isnan(InstanceCounts().f1)
    assert InstanceCounts(0, 0, 1).pq == 0


def test_invalid_input_is_refused() -> None:
    with pytest.raises(TrainingError, match="several partners"):
        match_labels(labels([]), labels([]), least_iou=0.4)
    with pytest.raises(TrainingError, match="must be equal"):
        match_labels(labels([]), labels([], (5, 5)))
