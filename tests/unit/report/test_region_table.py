"""``regions.csv``: a line per region, none lost, no cell a formula."""

from __future__ import annotations

import csv
import io
from typing import Any
from uuid import UUID

import pytest

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.run_record import RunRecord
from qupath_her2.provenance import object_uuids
from qupath_her2.records import CELL_CLASSES, CaseInfo, Prediction, Score, SlideScore
from qupath_her2.report.region_table import REGION_COLUMNS, region_rows, regions_csv
from qupath_her2.report.summary_table import SUMMARY_COLUMNS, RegionRow, SummaryRow

ONE, TWO, THREE = (str(UUID(int=number)) for number in (1, 2, 3))


def read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def record(*regions: dict[str, Any], unscored: tuple[dict[str, Any], ...] = ()) -> RunRecord:
    return RunRecord("r", "ab", {"name": "a.tif"}, regions=regions, unscored=unscored)


def entry(uuid: str, name: str | None = None, **more: Any) -> dict[str, Any]:
    return {"uuid": uuid, "name": name, "class": "Tumor", "role": "tumour", "area_um2": 2e6, **more}


def image(status: str = "scored", **regions: Score) -> SlideScore:
    return SlideScore(status, "1+" if status == "scored" else None, "it is", "g", regions=regions)  # type: ignore[arg-type]


REGION = Score(
    "scored",
    "2+",
    "because",
    "ASCO/CAP",
    guideline_origin="cases.csv",
    shares=dict(zip(CELL_CLASSES, (0.8, 0.12, 0.05, 0.03), strict=True)),
    complete_share=0.08,
    h_score=31.04,
    n_cells=500,
    tags=("HER2-low", "x"),
    warnings=("pale",),
)


def test_columns_are_named_as_in_the_summary() -> None:
    own = {"region", "kind", "class", "predicted class", "area mm2", "region id"}
    assert own == set(REGION_COLUMNS) - set(SUMMARY_COLUMNS)


def test_a_scored_region_reads_back_as_written() -> None:
    rows = region_rows(record(entry(ONE, "left")), image(**{ONE: REGION}))
    (row,) = read(
        regions_csv([SummaryRow("1", "ä.tif", "scored", CaseInfo(case="=c"), run="r", regions=rows)])
    )
    assert tuple(row) == REGION_COLUMNS
    assert row == {
        "image": "ä.tif",
        "case": "'=c",
        "region": "left",
        "kind": "annotation",
        "class": "Tumor",
        "status": "scored",
        "score": "2+",
        "Negative %": "80.00",
        "1+ %": "12.00",
        "2+ %": "5.00",
        "3+ %": "3.00",
        "complete membrane %": "8.00",
        "H-score": "31.0",
        "cells": "500",
        "predicted class": "",
        "area mm2": "2.000000",
        "tags": "HER2-low | x",
        "warnings": "pale",
        "reason": "because",
        "guideline": "ASCO/CAP",
        "guideline from": "cases.csv",
        "region id": ONE,
        "run": "r",
    }


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "@x", "\tx", "-2+3"])
def test_names_are_never_formulas(name: str) -> None:
    rows = (RegionRow(ONE, name, "annotation", name, "scored", "because"),)
    (row,) = read(regions_csv([SummaryRow("1", "a", "scored", regions=rows)]))
    assert row["region"].startswith("'")
    assert row["class"].startswith("'")


def test_cores_stand_by_name_and_annotations_in_their_order() -> None:
    cores = [entry(uuid, name, is_core=True) for uuid, name in ((ONE, "A-10"), (TWO, "A-2"))]
    missing = entry(THREE, "A-1", is_core=True, status="missing", reason="gone")
    rows = region_rows(record(*cores, unscored=(missing,)), image())
    assert [row.name for row in rows] == ["A-1", "A-2", "A-10"]
    assert [row.answer for row in rows] == ["missing", "pooled", "pooled"]
    plain = region_rows(record(entry(ONE, "b"), entry(TWO, "a"), entry(THREE)), image())
    assert [row.name for row in plain] == ["b", "a", "Tumor 3"]


def test_the_status_of_a_region_without_a_score_is_that_of_its_image() -> None:
    (pooled,) = region_rows(record(entry(ONE)), image())
    (refused,) = region_rows(record(entry(ONE)), image("not assessable"))
    assert (pooled.status, refused.status, refused.reason) == ("pooled", "not assessable", "it is")


def test_the_region_that_stands_for_all_tissue_is_named_so() -> None:
    own = str(UUID(bytes=object_uuids("ab" * 32, 1)[0].tobytes()))
    (row,) = region_rows(record(entry(own, "Whole tissue", **{"class": None})), image(**{own: REGION}))
    assert (row.kind, row.class_name, row.answer) == ("whole tissue", None, "2+")


def test_a_predicted_region_has_its_class_and_no_cells() -> None:
    found = Prediction("net", "her2-response", "yes", {"yes": 0.9}, 12, "majority")
    score = Score("predicted", None, "12 patches", "none", prediction=found)
    rows = region_rows(record(entry(ONE)), image(**{ONE: score}))
    (row,) = read(regions_csv([SummaryRow("1", "a", "predicted", regions=rows)]))
    assert (row["status"], row["predicted class"], row["cells"], row["score"]) == ("predicted", "yes", "", "")


def test_an_image_without_regions_has_a_line_too() -> None:
    refused = SummaryRow("1", "a", "not assessable", score=image("not assessable"), run="r")
    failed = SummaryRow("2", "b", "failed", error="broken")
    rows = read(regions_csv([refused, failed]))
    assert [(row["image"], row["region"], row["status"], row["reason"], row["run"]) for row in rows] == [
        ("a", "", "not assessable", "it is", "r"),
        ("b", "", "failed", "broken", ""),
    ]


@pytest.mark.parametrize("damage", [{"uuid": "x"}, "text", {"uuid": ONE, "area_um2": "wide"}])
def test_a_damaged_record_is_named(damage: Any) -> None:
    with pytest.raises(ExchangeError, match="run r: an entry of 'regions' or 'unscored' is damaged"):
        region_rows(record(damage), image())


def test_a_proposal_is_named_so_until_a_person_accepts_it() -> None:
    own = str(UUID(bytes=object_uuids("ab" * 32, 1)[0].tobytes()))
    kinds = {
        name: region_rows(record(entry(own, "a", **{"class": name})), image(**{own: REGION}))[0].kind
        for name in ("Tumor?", "Tumor")
    }
    assert kinds == {"Tumor?": "proposed region", "Tumor": "annotation"}
