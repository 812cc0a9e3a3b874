"""``propose``: regions for a person, in a folder of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.fake_finder import tumour_left_of
from tests.unit.cli.commands import call, summary


def without_regions(project: Path) -> None:
    for path in {*project.glob("pale*"), *project.glob("*.geojson")}:
        path.unlink()


def test_proposals_are_written_and_nothing_is_scored(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_regions(project)
    tumour_left_of(monkeypatch, 120.0)
    code, out, err = call("propose", project)
    assert code == 0, err
    assert "Tumour regions" in out
    assert "1 proposed; " in out
    assert "of class Tumor?, for a person to accept or delete" in out
    her2 = project / "her2" / "proposals"
    assert f"report  {her2 / 'report.html'}" in out
    assert not (project / "her2" / "results").exists()
    (row,) = summary(her2)
    assert (row["status"], row["score"], row["H-score"]) == ("proposed", "", "")
    (path,) = her2.glob("results/*/*/regions.geojson")
    names = {one["properties"]["classification"]["name"] for one in json.loads(path.read_bytes())["features"]}
    assert names == {"Tumor?"}
    code, out, _ = call("propose", project)
    assert code == 0
    assert "1/1 up to date" in out


def test_accepted_proposals_are_scored_and_others_wait(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a person would: the regions go beside the image, and the class of one is changed."""
    without_regions(project)
    tumour_left_of(monkeypatch, 120.0)
    call("propose", project)
    (path,) = (project / "her2" / "proposals").glob("results/*/*/regions.geojson")
    content = json.loads(path.read_bytes())
    (project / "strong.geojson").write_text(json.dumps(content))
    code, out, _ = call("run", project)
    assert code == 0
    assert "nobody has accepted" in " ".join(out.split())
    code, out, _ = call("regions", project)
    assert code == 0
    assert "not scored unless its class is set to Tumor" in out
    largest = max(content["features"], key=lambda one: one["properties"]["measurements"]["HER2: Num cells"])
    largest["properties"]["classification"] = {"name": "Tumor"}
    (project / "strong.geojson").write_text(json.dumps(content))
    code, out, err = call("run", project)
    assert code == 0, err
    (row,) = summary(project / "her2")
    assert row["status"] == "scored"
    assert "proposed" not in row["reason"]


def test_a_folder_without_images(tmp_path: Path) -> None:
    code, out, err = call("propose", tmp_path)
    assert code == 1
    assert "Traceback" not in out + err
