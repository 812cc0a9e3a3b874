from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import pytest

from qupath_her2.batch.local import run_jobs
from qupath_her2.report.build import read_rows
from qupath_her2.report.cohort_table import (
    COHORT_COLUMNS,
    CohortSlide,
    cohort_csv,
    cohort_rows,
    write_parquet,
)
from qupath_her2.runs.plan import plan_jobs


def test_images_and_their_regions_are_rows_with_what_they_are_compared_by(project: Path) -> None:
    jobs = plan_jobs(project).jobs
    run_jobs(jobs)
    out = project / "her2"
    rows, places = read_rows(out, {"9_gone": ("gone.svs", "cannot be read")})
    strong = next(job.image for job in jobs if job.name.startswith("strong"))
    staining = next(row.staining for row in rows if row.image == strong)
    assert staining.glass_grey is not None
    assert 200 < staining.glass_grey <= 255
    assert staining.membrane_dab_od is not None
    assert staining.cytoplasm_dab_od is not None
    # On a 3+ the membranes carry the stain.
    assert staining.membrane_dab_od > 2 * staining.cytoplasm_dab_od
    slides = {
        strong: CohortSlide("S1", "2026-11-30", "tif", "group", 0.5, 2.0),
        "9_gone": CohortSlide(failure="unreadable"),
    }
    table = cohort_rows(rows, places, slides, out)
    images = {row["image"]: row for row in table if row["level"] == "image"}
    assert list(images) == ["gone.svs", "pale.ome.tif", "strong.ome.tif"]
    assert (images["gone.svs"]["status"], images["gone.svs"]["failure"]) == ("failed", "unreadable")
    one = images["strong.ome.tif"]
    assert (one["score"], one["scanner"], one["seconds"], one["area_mm2"]) == ("3+", "S1", 2.0, 0.5)
    assert one["percent_3_plus"] > 10
    assert (out / one["folder"] / "score.json").is_file()
    regions = [row for row in table if row["level"] == "region" and row["image"] == "strong.ome.tif"]
    assert regions
    assert all(row["scanner"] == "S1" and row["region"] for row in regions)
    assert sum(row["cells"] for row in regions) >= one["cells"]


def test_csv_and_parquet_hold_the_same(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    row = dict.fromkeys(COHORT_COLUMNS) | {
        "image": "a",
        "level": "core",
        "h_score": 1.0 / 3,
        "cells": 7,
        "score": "1+",
    }
    (line,) = csv.DictReader(io.StringIO(cohort_csv([row]).decode("utf-8-sig")))
    assert (line["image"], line["h_score"], line["cells"], line["case"]) == ("a", "0.333333", "7", "")
    assert write_parquet(tmp_path / "cohort.parquet", [row, row])
    table = pyarrow.parquet.read_table(tmp_path / "cohort.parquet")
    assert table.column_names == list(COHORT_COLUMNS)
    assert table["h_score"].to_pylist() == [1 / 3, 1 / 3]
    assert table["case"].to_pylist() == [None, None]
    assert [path.name for path in tmp_path.iterdir()] == ["cohort.parquet"]


def test_without_pyarrow_there_is_no_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert not write_parquet(tmp_path / "cohort.parquet", [])
    assert list(tmp_path.iterdir()) == []
