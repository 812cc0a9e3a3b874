from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest

from qupath_her2.learning.metrics.pixel_counts import PixelTally
from qupath_her2.report.pixel_tables import SegmenterRow, pixel_csv, pixel_tables
from qupath_her2.scoring.agreement.tables import table_text

CLASSES = ("Background", "Membrane", "Nucleus")


def row(name: str, seed: int, scores: tuple[str, ...]) -> SegmenterRow:
    rng = np.random.default_rng(seed)
    tally = PixelTally(CLASSES)
    for score in scores:
        truth = rng.integers(0, 2, (8, 8), np.uint8)
        probabilities = rng.dirichlet((1, 1, 1), (8, 8)).transpose(2, 0, 1)
        tally.add(truth, probabilities, group=score)
    return SegmenterRow(name, 251, 1234567, 1.5, "cpu", 7, tally)


ROWS = (row("her2net", 0, ("1+", "3+")), row("unet", 1, ("1+", "3+")))


def test_csv_holds_every_metric_of_every_network_score_and_class() -> None:
    lines = list(csv.DictReader(io.StringIO(pixel_csv(ROWS).decode("utf-8-sig"))))
    assert len(lines) == 2 * 3 * 4
    for line in lines:
        source = next(one for one in ROWS if one.name == line["network"])
        group = None if line["score"] == "all" else line["score"]
        found = (
            source.tally.pooled(group)
            if line["class"] == "all"
            else next(one for one in source.tally.measures(group) if one.name == line["class"])
        )
        for column, text in line.items():
            value = getattr(found, column, None)
            if not isinstance(value, float):
                continue
            # Nuclei are nowhere in the truth: some of their figures have no value.
            assert text == "" if math.isnan(value) else float(text) == pytest.approx(value, abs=1e-6)
    assert {line["npv"] for line in lines if line["class"] == "all"} == {""}
    assert any(line["recall"] == "" for line in lines if line["class"] == "Nucleus")


def test_text_names_networks_classes_and_scores() -> None:
    summary, classes, by_score, both = pixel_tables(ROWS)
    assert [line[:5] for line in summary.rows] == [
        ("her2net", "251", "1,234,567", "1.5", "7"),
        ("unet", "251", "1,234,567", "1.5", "7"),
    ]
    assert [line[:2] for line in classes.rows] == [(c, n) for c in CLASSES for n in ("her2net", "unet")]
    assert [line[:2] for line in by_score.rows] == [(s, n) for s in ("1+", "3+") for n in ("her2net", "unet")]
    assert [line[:3] for line in both.rows[:4]] == [
        ("1+", "Background", "her2net"),
        ("1+", "Background", "unet"),
        ("1+", "Membrane", "her2net"),
        ("1+", "Membrane", "unet"),
    ]
    assert len(both.rows) == 2 * 3 * 2
    for table in (summary, classes, by_score, both):
        assert all(len(line) == len(table.header) for line in table.rows)
    assert "research use only" in table_text(summary)


def test_without_scores_there_is_no_table_by_score() -> None:
    assert len(pixel_tables([row("unet", 2, ("",))])) == 2
