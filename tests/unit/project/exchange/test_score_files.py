"""``score.json`` and ``regions.geojson``: round trip, damage, measurements."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
import shapely

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.score_files import (
    read_score,
    region_measurements,
    regions_geojson,
    score_json,
)
from qupath_her2.project.geojson.regions import read_regions
from qupath_her2.records import CELL_CLASSES, Prediction, Region, Score, SlideScore

SHARES = dict(zip(CELL_CLASSES, (0.5, 0.25, 0.15, 0.1), strict=True))
ONE = Score(
    status="scored",
    score="2+",
    reason="23.0 % of 8,412 tumour cells show weak to moderate complete staining.",
    guideline="ASCO/CAP breast 2018/2023",
    shares=SHARES,
    intervals={name: (share - 0.01, share + 0.01) for name, share in SHARES.items()},
    complete_share=0.23,
    h_score=85.0,
    n_cells=8412,
    cells_to_next_score=100,
    tags=("HER2-low",),
    warnings=("pixels of 0.5 µm",),
)
UUID_A = "3f0c8d4e-3a51-4a0e-9d43-4e2b7c1a9f60"
SLIDE = SlideScore(
    **{name: getattr(ONE, name) for name in ONE.__dataclass_fields__},
    regions={UUID_A: ONE},
)
SAID = Prediction("net", "her2-4", "3+", {"0": 0.25, "3+": 0.75}, 12, "mean of patch probabilities")
PREDICTED = SlideScore("predicted", None, "12 patches, by a network.", "none", prediction=SAID)
REFUSED = SlideScore("not assessable", None, "Pixels are too coarse.", "x", refusal_code="pixels_too_coarse")


@pytest.mark.parametrize("score", [SLIDE, REFUSED, PREDICTED])
def test_round_trip(score: SlideScore) -> None:
    assert read_score(score_json(score)) == score


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"score": null', b'"score": "3+"', "contradict each other"),
        (b'"3+": 0.75', b'"3+": 1.75', "is outside 0..1"),
        (b'"rule": ', b'"role": ', "prediction must be an object with .* rule"),
        (b'"n_patches": 12', b'"n_patches": "some"', "wrong type"),
    ],
)
def test_a_damaged_prediction_is_named(old: bytes, new: bytes, message: str) -> None:
    data = score_json(PREDICTED)
    assert old in data
    with pytest.raises(ExchangeError, match=message):
        read_score(data.replace(old, new, 1))


def test_a_prediction_shows_its_probabilities() -> None:
    assert region_measurements(PREDICTED) == {
        "HER2: probability 0": 0.25,
        "HER2: probability 3+": 0.75,
        "HER2: Num patches": 12.0,
    }


def test_fields_are_those_of_format_1() -> None:
    fields = set(json.loads(score_json(SLIDE)))
    assert fields >= {
        "status",
        "score",
        "reason",
        "guideline",
        "shares",
        "intervals",
        "complete_share",
        "h_score",
        "n_cells",
        "cells_to_next_score",
        "tags",
        "warnings",
        "regions",
    }
    assert json.loads(score_json(SLIDE))["format"] == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"format": 1', b'"format": 9', "format 9"),
        (b'"score": "2+"', b'"score": "5+"', "contradict each other"),
        (b'"score": "2+"', b'"score": null', "contradict each other"),
        (b'"status": "scored"', b'"status": "good"', "contradict each other"),
        (b'"n_cells": 8412', b'"n_cells": "many"', "wrong type"),
        (b'"h_score": 85.0', b'"h_score": "high"', "wrong type"),
        (b'"reason": "', b'"raison": "', "lacks reason"),
        (b'"regions": {', b'"regioms": {', "expected an object"),
        (b"{", b"", "not JSON"),
    ],
)
def test_damage_is_named(old: bytes, new: bytes, message: str) -> None:
    data = score_json(SLIDE)
    assert old in data
    with pytest.raises(ExchangeError, match=message):
        read_score(data.replace(old, new, 1) if old != b'"regions": {' else data.replace(old, new))


def test_measurements_are_numbers_with_our_prefix() -> None:
    numbers = region_measurements(ONE)
    assert numbers == {
        "HER2: Score": 2.0,
        "HER2: Num tumour cells": 8412.0,
        "HER2: complete %": 23.0,
        "HER2: H-score": 85.0,
        "HER2: Negative %": 50.0,
        "HER2: 1+ %": 25.0,
        "HER2: 2+ %": 15.0,
        "HER2: 3+ %": 10.0,
    }
    assert region_measurements(replace(REFUSED, h_score=float("nan"))) == {"HER2: Num tumour cells": 0.0}


def test_written_regions_are_read_back(tmp_path: Path) -> None:
    shape = shapely.box(10, 10, 210.123, 110).difference(shapely.box(20, 20, 40, 40))
    both = shapely.MultiPolygon([shape, shapely.box(300, 300, 400, 400)])
    regions = [
        Region(UUID(UUID_A), shape, "tumour", "Tumor", "Mine ä", is_locked=True),
        Region(UUID(int=5), both, "in_situ", "Tumor: DCIS"),
        Region(UUID(int=6), shape, "ignore", "Ignore*"),
    ]
    path = tmp_path / "regions.geojson"
    path.write_bytes(regions_geojson(regions, {UUID_A: ONE}))
    found = read_regions(path, image_width=1000, image_height=1000)
    assert not found.quarantined
    assert [replace(region, geometry=None) for region in found.regions] == [
        replace(region, geometry=None) for region in regions
    ]
    for region, truth in zip(found.regions, regions, strict=True):
        assert region.geometry.symmetric_difference(truth.geometry).area < 1
    first, second, _ = json.loads(path.read_bytes())["features"]
    assert first["properties"]["measurements"] == region_measurements(ONE)
    assert "measurements" not in second["properties"]
    # QuPath throws on null members and on classes without a colour
    assert b"null" not in path.read_bytes()
    assert second["properties"]["classification"]["names"] == ["Tumor", "DCIS"]
    assert len(second["properties"]["classification"]["color"]) == 3


def test_scores_of_proposed_regions() -> None:
    region = Score("proposed", None, "Proposed.", "none", n_cells=12, tumour_probability=0.875)
    slide = SlideScore("proposed", None, "1 region.", "none", n_cells=12, regions={UUID_A: region})
    assert read_score(score_json(slide)) == slide
    assert region_measurements(region) == {"HER2: Tumour probability": 0.875, "HER2: Num cells": 12.0}
    scored = replace(ONE, tumour_probability=0.875)
    assert region_measurements(scored) == {**region_measurements(ONE), "HER2: Tumour probability": 0.875}


def test_other_scores_have_no_member_for_it() -> None:
    """Results of regions that a person drew are the same bytes as before there was a search."""
    assert b"tumour_probability" not in score_json(SLIDE)
