from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.batch.local import run_jobs
from qupath_her2.errors import ExchangeError
from qupath_her2.report import build
from qupath_her2.report.build import write_report
from qupath_her2.runs.plan import plan_jobs


@pytest.fixture
def scored(project: Path) -> Path:
    run_jobs(plan_jobs(project).jobs)
    return project / "her2"


def test_report_lists_all_images_with_a_result(scored: Path) -> None:
    written = write_report(scored)
    assert [row.name for row in written.rows] == ["pale.ome.tif", "strong.ome.tif"]
    assert written.counts == "2 images: 2 scored"
    regions = written.regions_csv.read_text(encoding="utf-8-sig").splitlines()
    assert {line.split(",")[0] for line in regions} == {"image", "pale.ome.tif", "strong.ome.tif"}
    # A line for each scored region, and the header.
    assert len(regions) == 1 + sum(len(row.regions) for row in written.rows)
    page = written.html.read_text(encoding="utf-8")
    assert "typical cells" in page
    assert page.count('class="badge') >= 4


def test_a_failure_replaces_the_earlier_result(scored: Path) -> None:
    image = next((scored / "results").glob("*pale*")).name
    written = write_report(scored, {image: ("pale.ome.tif", "it is gone")})
    assert [row.state for row in written.rows] == ["failed", "scored"]
    assert "it is gone" in written.html.read_text(encoding="utf-8")


def test_a_damaged_result_becomes_a_failed_row(scored: Path) -> None:
    pointer = next((scored / "results").glob("*pale*")) / "current.json"
    pointer.write_bytes(b"{")
    written = write_report(scored)
    assert sorted(row.state for row in written.rows) == ["failed", "scored"]
    assert ",failed," in written.regions_csv.read_text(encoding="utf-8-sig")


def test_a_changed_file_only_costs_the_pictures(scored: Path) -> None:
    for path in (scored / "results").glob("*pale*/*/overlay.jpg"):
        path.write_bytes(b"changed")
    page = write_report(scored).html.read_text(encoding="utf-8")
    assert "No pictures: " in page
    assert "was changed after the run" in page


def test_reports_of_many_images_have_only_small_overlays(
    scored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_report(scored).html.stat().st_size
    monkeypatch.setattr(build, "_MANY_IMAGES", 1)
    page = write_report(scored).html
    assert page.stat().st_size < 0.5 * whole
    assert page.read_text(encoding="utf-8").count("data:image/jpeg") == 2


def test_a_folder_without_results_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="qupath-her2 run"):
        write_report(tmp_path)
