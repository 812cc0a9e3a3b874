"""A short, seeded run of the fuzzed region files; ``python -m tests.fuzz geojson`` is the long one."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from qupath_her2.errors import RegionFileError
from qupath_her2.project.geojson.regions import RegionFile, read_regions
from tests.fuzz import geojson
from tests.fuzz.geojson_oracle import losses
from tests.fuzz.geojson_shapes import SIDE_PX
from tests.fuzz.report import HANG_S, FuzzReport, Outcome, run_check

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [200, 0], [200, 200], [0, 200], [0, 0]]]}
TUMOUR = {"type": "Feature", "geometry": SQUARE, "properties": {"classification": "Tumor"}}


@pytest.mark.slow
def test_damaged_region_files_are_read_or_refused_and_nothing_vanishes() -> None:
    report = geojson.run(60, seed=40)
    assert report.cases == 60
    assert report.failures == []
    assert report.accepted >= 20
    assert report.refused >= 10


def test_a_case_is_drawn_again_from_its_number(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        geojson.draw(random.Random("40 7"), tmp_path / name)
    a, b = (next((tmp_path / name).iterdir()).read_bytes() for name in ("a", "b"))
    assert a == b


@pytest.mark.parametrize(
    "data",
    [
        [TUMOUR],
        {"type": "FeatureCollection", "features": [{"type": "FeatureCollection", "features": [TUMOUR]}]},
        {"features": {"features": [[[TUMOUR]]]}},
    ],
)
def test_the_oracle_misses_a_feature_at_any_nesting(data: Any, tmp_path: Path) -> None:
    path = tmp_path / "case.geojson"
    path.write_text(json.dumps(data))
    found = read_regions(path, image_width=SIDE_PX, image_height=SIDE_PX)
    assert list(losses(path, found)) == []
    assert list(losses(path, RegionFile())) == ["1 of 1 features vanished"]


def test_the_oracle_notices_another_area(tmp_path: Path) -> None:
    path = tmp_path / "case.geojson"
    path.write_text(json.dumps([TUMOUR]))
    found = read_regions(path, image_width=SIDE_PX, image_height=SIDE_PX)
    small = {
        **TUMOUR,
        "geometry": {**SQUARE, "coordinates": [[[0, 0], [199, 0], [199, 200], [0, 200], [0, 0]]]},
    }
    path.write_text(json.dumps([small]))
    (loss,) = losses(path, found)
    assert loss.startswith("a region of 40000.0 px² stands nowhere in the file")


def test_each_kind_of_outcome_is_counted(tmp_path: Path) -> None:
    def check(folder: Path) -> Outcome:
        if folder.name == "refused":
            raise RegionFileError("no")
        if folder.name == "odd":
            raise KeyError("one")
        return Outcome("accepted", ("two is lost",) if folder.name == "lost" else ())

    report = FuzzReport("names", 0)
    wrong = [
        report.add(i, run_check(check, tmp_path / name))
        for i, name in enumerate(("a", "refused", "odd", "lost"))
    ]
    assert wrong == [False, False, True, True]
    assert (report.cases, report.accepted, report.refused) == (4, 2, 1)
    assert (report.tracebacks, report.losses, report.slow) == (1, 1, 0)
    assert "KeyError: 'one'" in report.failures[0]
    assert report.failures[1].endswith("two is lost")


def test_a_case_over_its_time_is_slow() -> None:
    report = FuzzReport("numbers", 0)
    assert report.add(0, Outcome("hang", seconds=HANG_S))
    assert not report.add(1, Outcome("accepted", seconds=0.5))
    assert (report.slow, report.slowest_s) == (1, HANG_S)
    assert "ended" in report.failures[0]
