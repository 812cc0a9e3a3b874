"""Proposals: written without a score, beside what a person drew."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import cv2
import pytest
import shapely

from qupath_her2.project.exchange.images import PROPOSALS
from qupath_her2.project.exchange.runs import read_record, read_run
from qupath_her2.provenance import is_ours
from qupath_her2.records import TUMOUR_PROBABILITY, ImageResult
from qupath_her2.report.build import write_report
from qupath_her2.runs.methods.proposals import ProposalsMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.score_image import score_image
from tests.helpers.fake_finder import tumour_left_of

#: Of the 420 px field, 0.5 µm/px: the fake finder sees tumour left of this.
LIMIT_UM = 120.0


def propose(project: Path) -> ImageResult:
    options = RunOptions(method=ProposalsMethod(), out=project / "her2" / PROPOSALS, images=("strong*",))
    (job,) = plan_jobs(project, options).jobs
    return score_image(job)


def write_regions(project: Path, *drawn: tuple[str, shapely.Geometry]) -> None:
    features = [
        {
            "type": "Feature",
            "id": str(UUID(int=number, version=4)),
            "geometry": shapely.geometry.mapping(shape),
            "properties": {"objectType": "annotation", "classification": {"name": name}},
        }
        for number, (name, shape) in enumerate(drawn, 1)
    ]
    (project / "strong.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def shapes_of(result: ImageResult) -> list[shapely.Geometry]:
    assert result.run_dir is not None
    content = json.loads((result.run_dir / "regions.geojson").read_bytes())
    return [shapely.geometry.shape(feature["geometry"]) for feature in content["features"]]


def test_proposals_are_annotations_with_a_probability_and_no_score(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "strong.geojson").unlink()
    tumour_left_of(monkeypatch, LIMIT_UM)
    result = propose(project)
    assert (result.state, result.error) == ("proposed", None)
    assert result.run_dir is not None
    assert result.score is not None
    record, table, score = read_run(result.run_dir)
    assert score.status == "proposed"
    assert score.score is None
    assert score.shares == {}
    assert table is not None
    assert len(table) == 0
    assert record.settings["used"]["method"] == "proposals"
    features = json.loads((result.run_dir / "regions.geojson").read_bytes())["features"]
    assert len(features) == len(score.regions) > 0
    for feature in features:
        assert is_ours(UUID(feature["id"]))
        assert feature["properties"]["classification"]["name"] == "Tumor?"
        measured = feature["properties"]["measurements"]
        assert measured[TUMOUR_PROBABILITY] == pytest.approx(0.9, abs=0.05)
        assert measured["HER2: Num cells"] > 0
    union = shapely.union_all(shapes_of(result))
    assert union.bounds[2] * 0.5 < LIMIT_UM + 15
    assert cv2.imread(str(result.run_dir / "overlay.jpg")) is not None
    assert "nobody has confirmed" in score.reason
    assert any("carcinoma in situ" in warning for warning in score.warnings)
    assert propose(project).state == "up to date"


def test_what_is_drawn_is_not_proposed_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tumour_left_of(monkeypatch, LIMIT_UM)
    accepted, rejected = shapely.box(0, 0, 420, 100), shapely.box(0, 300, 420, 420)
    write_regions(project, ("Tumor", accepted), ("Ignore*", rejected))
    found = propose(project)
    assert found.state == "proposed"
    union = shapely.union_all(shapes_of(found))
    assert union.intersection(shapely.union_all([accepted, rejected])).area < 1
    assert union.area > 0


def test_no_tumour_found_is_a_result(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tumour_left_of(monkeypatch, -1)
    (project / "strong.geojson").unlink()
    result = propose(project)
    assert result.state == "not assessable"
    assert result.score is not None
    assert result.score.refusal_code == "no_tumour_found"
    assert result.run_dir is not None
    assert read_record(result.run_dir).regions == ()


def test_proposals_leave_the_scores_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have a folder, tables and a page of their own."""
    (job,) = plan_jobs(project, RunOptions(images=("strong*",))).jobs
    scored = score_image(job)
    tumour_left_of(monkeypatch, LIMIT_UM)
    write_regions(project, ("Ignore*", shapely.box(0, 0, 10, 10)))
    propose(project)
    assert scored.run_dir is not None
    assert read_run(scored.run_dir)[2].score == "3+"
    page = write_report(project / "her2" / PROPOSALS)
    assert page.counts == "1 image: 1 proposed"
    assert "proposed regions" in page.html.read_text(encoding="utf-8")
    rows = page.regions_csv.read_text(encoding="utf-8-sig")
    assert "proposed region" in rows
    assert "Tumor?" in rows
