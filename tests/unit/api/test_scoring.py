from __future__ import annotations

from pathlib import Path

import pytest

import qupath_her2 as qh
from qupath_her2.runs.methods.indicators import IndicatorsMethod
from tests.helpers.fake_finder import tumour_left_of


def test_run_writes_the_report_and_score_needs_no_pixels(project: Path) -> None:
    opened = qh.open_project(project)
    results = qh.run(opened)
    assert [result.name for result in results] == ["pale.ome.tif", "strong.ome.tif"]
    assert [result.score.score for result in results if result.score] == ["0", "3+"]
    assert (project / "her2" / "report.html").is_file()
    assert {result.state for result in qh.run(project)} == {"up to date"}
    for image in project.glob("*.ome.tif"):
        image.rename(image.with_suffix(".gone"))
        image.touch()
    again = qh.score(project, guideline="gastric-resection")
    assert [result.score.guideline for result in again if result.score] == [
        "CAP/ASCP/ASCO gastric 2016, resection"
    ] * 2


def test_run_takes_images_and_options(project: Path, tmp_path: Path) -> None:
    only = qh.run(qh.open_project(project, images=["strong*"]), out=tmp_path / "a")
    assert [result.name for result in only] == ["strong.ome.tif"]
    assert not (project / "her2").exists()
    by_indicators = qh.run(project, method=IndicatorsMethod(), images=("strong*",), out=tmp_path / "b")
    assert by_indicators[0].state in ("scored", "not assessable")
    assert by_indicators[0].n_cells == (by_indicators[0].score.n_cells if by_indicators[0].score else 0)


def test_proposals_go_where_the_command_puts_them(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "strong.geojson").unlink()
    tumour_left_of(monkeypatch, 120.0)
    (result,) = qh.propose(qh.open_project(project, images=["strong*"]))
    assert result.state == "proposed"
    assert result.run_dir is not None
    assert result.run_dir.is_relative_to(project / "her2" / "proposals" / "results")
    assert (project / "her2" / "proposals" / "regions.csv").is_file()
    assert not (project / "her2" / "results").exists()
