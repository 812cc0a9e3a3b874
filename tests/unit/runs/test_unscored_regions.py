"""A drawn tissue microarray: scored, empty and missing cores each have their line in every result."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image

from qupath_her2.project.exchange.runs import read_run
from qupath_her2.records import CELL_CLASSES, ImageResult, Region
from qupath_her2.report.build import WrittenReport, write_report
from qupath_her2.runs.inputs import gather_inputs
from qupath_her2.runs.methods.indicators import IndicatorsMethod
from qupath_her2.runs.options import RunOptions, ScoreJob
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.proposed_tumour import DRAWN, NOBODY_CONFIRMED
from qupath_her2.runs.score_image import score_image
from qupath_her2.runs.unscored_regions import core_warnings, region_entry
from qupath_her2.slides.readers.view import open_image
from tests.helpers.fake_finder import tumour_left_of

#: Level-0 pixels of the 420 px field: the tumour is drawn in its upper half.
TUMOUR = shapely.box(0, 0, 420, 210)
#: {name: (outline, whether it is marked missing)}; B-1 lies in the lower half.
CORES = {
    "A-10": (shapely.box(215, 5, 415, 300), False),
    "A-2": (shapely.box(5, 5, 205, 205), False),
    "B-1": (shapely.box(5, 220, 205, 415), False),
    "B-2": (shapely.box(300, 310, 415, 415), True),
}
IDS = {name: str(UUID(int=0x5EED + number, version=4)) for number, name in enumerate(CORES)}


def feature(shape: shapely.Geometry, id: str | None = None, **properties: Any) -> dict[str, Any]:
    own = {} if id is None else {"id": id}
    return {
        "type": "Feature",
        **own,
        "geometry": shapely.geometry.mapping(shape),
        "properties": properties,
    }


def write_cores(project: Path, *, tumour: shapely.Geometry | None = TUMOUR, missing: bool = True) -> None:
    """Write the drawn cores as regions of the image ``strong``, which is then the only one of the folder."""
    for path in project.glob("pale*"):
        path.unlink()
    features = [
        feature(shape, IDS[name], objectType="tma_core", name=name, isMissing=is_missing and missing)
        for name, (shape, is_missing) in CORES.items()
    ]
    if tumour is not None:
        features.append(feature(tumour, objectType="annotation", classification={"name": "Tumor"}))
    (project / "strong.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def job_of(project: Path, **options: Any) -> ScoreJob:
    (job,) = plan_jobs(project, RunOptions(images=("strong*",), **options)).jobs
    # The cores are small; their limit is not what is tested here.
    scoring = replace(job.settings.scoring, min_cells=5)
    return replace(job, settings=replace(job.settings, scoring=scoring))


def lines(report: WrittenReport) -> list[dict[str, str]]:
    text = report.regions_csv.read_bytes().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def scored(project: Path, **options: Any) -> tuple[ImageResult, WrittenReport]:
    result = score_image(job_of(project, **options))
    assert result.error is None
    return result, write_report(project / "her2")


def test_scored_empty_and_missing_cores_are_told_apart(project: Path) -> None:
    write_cores(project)
    result, report = scored(project)
    rows = lines(report)
    assert [(row["region"], row["kind"], row["status"]) for row in rows] == [
        ("A-2", "TMA core", "scored"),
        ("A-10", "TMA core", "scored"),
        ("B-1", "TMA core", "no tumour"),
        ("B-2", "TMA core", "missing"),
    ]
    assert [row["region id"] for row in rows] == [IDS[row["region"]] for row in rows]
    assert [row["score"] for row in rows[2:]] == [row["cells"] for row in rows[2:]] == ["", ""]
    assert all(row["reason"] for row in rows)
    assert result.score is not None
    assert result.score.warnings[0] == (
        "2 of 4 TMA cores were not scored: 1 marked missing (B-2), 1 without a tumour region (B-1)."
    )
    page = report.html.read_text(encoding="utf-8")
    for name in CORES:
        assert f"<td>{name}</td>" in page


def test_the_numbers_of_a_core_are_those_of_its_own_cells(project: Path) -> None:
    write_cores(project)
    result, report = scored(project)
    assert result.run_dir is not None
    _, table, _ = read_run(result.run_dir)
    assert table is not None
    for row in lines(report)[:2]:
        area = CORES[row["region"]][0].intersection(TUMOUR)
        # 0.5 µm/px.
        assert float(row["area mm2"]) == pytest.approx(area.area * 0.25 / 1e6, abs=1e-6)
        # QuPath counts a cell where the centroid of its outline lies.
        outlines = shapely.polygons(table.cell_xy.astype(float).reshape(len(table), -1, 2))
        inside = shapely.contains(area, shapely.centroid(outlines))
        classes = table.cell_class[inside & (table.cell_class < len(CELL_CLASSES))]
        counts = np.bincount(classes, minlength=4)
        assert int(row["cells"]) == counts.sum() > 20
        shares = [float(row[f"{grade} %"]) for grade in ("Negative", "1+", "2+", "3+")]
        assert shares == pytest.approx(100 * counts / counts.sum(), abs=0.005)
        assert float(row["H-score"]) == pytest.approx(100 * counts @ np.arange(4) / counts.sum(), abs=0.05)


def test_a_second_run_changes_nothing(project: Path, tree: Callable[[Path], dict[str, bytes]]) -> None:
    write_cores(project)
    _, report = scored(project)
    first = tree(project / "her2" / "results"), report.regions_csv.read_bytes()
    again, report = scored(project)
    assert again.state == "up to date"
    assert (tree(project / "her2" / "results"), report.regions_csv.read_bytes()) == first


def test_a_core_that_is_marked_missing_makes_the_result_out_of_date(project: Path) -> None:
    write_cores(project, missing=False)
    assert "missing" not in {row["status"] for row in lines(scored(project)[1])}
    write_cores(project)
    result, report = scored(project)
    assert result.state == "not assessable"
    assert lines(report)[-1]["status"] == "missing"


@pytest.mark.parametrize("whole_tissue", [False, True])
def test_tumour_outside_all_cores_is_refused_and_says_so(project: Path, whole_tissue: bool) -> None:
    write_cores(project, tumour=shapely.box(206, 206, 214, 214))
    result, report = scored(project, whole_tissue=whole_tissue)
    assert result.score is not None
    assert result.score.refusal_code == "no_tumour_region"
    assert "no tumour region lies in any TMA core" in result.score.reason
    assert [row["status"] for row in lines(report)] == ["no tumour"] * 3 + ["missing"]
    # The way out that the reason names.
    write_cores(project, tumour=None)
    result, report = scored(project, whole_tissue=whole_tissue)
    assert [row["status"] for row in lines(report)] == ["scored"] * 3 + ["missing"]


@pytest.mark.parametrize(
    ("size_um", "code"),
    [(None, "pixel_size_missing"), (0.7, "pixels_too_coarse")],
    ids=["set-up", "measured"],
)
def test_regions_of_a_refused_image_are_listed_with_its_reason(
    project: Path, size_um: float | None, code: str
) -> None:
    write_cores(project)
    # A PNG has no pixel size.
    tiff = project / "strong.ome.tif"
    Image.fromarray(tifffile.imread(tiff)).save(project / "strong.png")
    tiff.unlink()
    result, report = scored(project, pixel_size_um=size_um)
    assert result.score is not None
    assert result.score.refusal_code == code
    rows = lines(report)
    assert [row["status"] for row in rows] == ["not assessable"] * 2 + ["no tumour", "missing"]
    assert rows[0]["reason"] == result.score.reason


def test_other_methods_list_their_cores_too(project: Path) -> None:
    write_cores(project)
    # Indicators need more tissue than these cores hold, and so refuse the image as a whole.
    result, report = scored(project, method=IndicatorsMethod())
    assert result.score is not None
    assert result.score.refusal_code == "no_tissue"
    assert "1 marked missing (B-2), 1 without a tumour region (B-1)." in result.score.warnings[0]
    rows = lines(report)
    assert [row["status"] for row in rows] == ["not assessable"] * 2 + ["no tumour", "missing"]
    assert rows[0]["reason"] == result.score.reason


def test_whole_tissue_has_a_line_of_its_own(project: Path) -> None:
    (project / "strong.geojson").unlink()
    _, report = scored(project, whole_tissue=True)
    (row,) = lines(report)
    assert (row["region"], row["kind"], row["score"]) == ("Whole tissue", "whole tissue", "3+")


def test_entries_and_warnings(project: Path) -> None:
    write_cores(project)
    job = job_of(project)
    with open_image(job.ref) as slide:
        inputs = gather_inputs(job, slide)
    core, drawn = inputs.region_file.cores[0], inputs.region_file.regions[0]
    assert region_entry(core, inputs)["is_core"] is True
    assert "is_core" not in region_entry(drawn, inputs)
    assert region_entry(drawn, replace(inputs, pixel_size_um=None)).get("area_um2") is None
    nameless = Region(UUID(int=7), shapely.box(0, 0, 9, 9), "other")
    many = tuple(replace(nameless, name=f"C-{number}") for number in range(6))
    bare = replace(inputs, region_file=replace(inputs.region_file, missing_cores=()))
    assert core_warnings(replace(bare, empty_cores=())) == []
    assert core_warnings(replace(bare, empty_cores=(nameless,))) == [
        "1 of 3 TMA cores were not scored: 1 without a tumour region."
    ]
    (text,) = core_warnings(replace(bare, empty_cores=many))
    assert text.endswith("6 without a tumour region (C-0, C-1, C-2, C-3, C-4, …).")


def test_unscored_entries_leave_out_scored_regions(project: Path) -> None:
    write_cores(project)
    result, _ = scored(project)
    assert result.run_dir is not None
    record, _, _ = read_run(result.run_dir)
    assert {entry["name"] for entry in record.regions} == {"A-2", "A-10"}
    assert [(entry["name"], entry["status"]) for entry in record.unscored] == [
        ("B-1", "no tumour"),
        ("B-2", "missing"),
    ]


def test_cores_without_drawn_tumour_are_searched_one_by_one(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tumour is found left of 100 µm: the core A-10 lies to the right of it."""
    write_cores(project, tumour=None)
    tumour_left_of(monkeypatch, 100.0)
    result, report = scored(project, find_tumour=True)
    assert result.score is not None
    assert result.score.refusal_code == "tma_cores"
    assert result.score.warnings[0] == NOBODY_CONFIRMED
    rows = {row["region"]: row for row in lines(report)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "A-2": "scored",
        "A-10": "not assessable",
        "B-1": "scored",
        "B-2": "missing",
    }
    first = " in tumour regions that the program proposed and nobody confirmed: "
    assert first in rows["A-2"]["reason"]
    assert rows["A-10"]["cells"] == "0"
    assert rows["A-2"]["kind"] == "TMA core"
    assert 0 < int(rows["A-2"]["cells"]) == result.score.regions[IDS["A-2"]].n_cells


def test_cores_with_drawn_tumour_are_not_searched(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cores(project)
    tumour_left_of(monkeypatch, -1.0)
    result, report = scored(project, find_tumour=True)
    assert result.score is not None
    assert DRAWN in result.score.tags
    assert {row["region"]: row["status"] for row in lines(report)}["A-2"] == "scored"
