from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.batch.local import run_jobs
from qupath_her2.errors import ExchangeError, SettingsError
from qupath_her2.project.exchange.runs import read_run
from qupath_her2.records import ImageResult
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import find_settings, plan_jobs
from qupath_her2.runs.rescore import rescore_folder


def by_guideline(project: Path, name: str | None, **options: object) -> list[ImageResult]:
    settings = find_settings(project, None, {"scoring": {"guideline": name}})
    return rescore_folder(project, RunOptions(**options), settings)[1]  # type: ignore[arg-type]


@pytest.fixture
def scored(project: Path) -> Path:
    run_jobs(plan_jobs(project).jobs)
    return project


def test_another_guideline_without_the_image(scored: Path) -> None:
    settings = find_settings(scored)
    before = {job.name: read_run_of(scored, job.name) for job in plan_jobs(scored, settings=settings).jobs}
    for path in scored.glob("*.ome.tif"):
        path.write_bytes(b"gone")
    results = by_guideline(scored, "csco-2021")
    assert [result.state for result in results] == ["scored", "scored"]
    for result in results:
        assert result.run_dir is not None
        record, table, score = read_run(result.run_dir)
        assert score.guideline == "CSCO breast 2021"
        assert "overlay.jpg" not in record.files
        assert any("No overlay was drawn" in warning for warning in record.warnings)
        assert table is not None
        assert np.array_equal(table.cell_xy, before[result.name].cell_xy)
        assert record.settings["scoring"]["guideline"] == "csco-2021"


def read_run_of(project: Path, name: str):
    (pointer,) = (project / "her2" / "results").glob(f"*{name.split('.')[0]}*/current.json")
    from qupath_her2.project.exchange.runs import current_run

    run_dir = current_run(project / "her2", pointer.parent.name)
    assert run_dir is not None
    return read_run(run_dir)[1]


def test_rescoring_ends_in_the_run_that_scoring_with_pixels_would_write(scored: Path, tmp_path: Path) -> None:
    again = by_guideline(scored, "breast-2013")
    settings = find_settings(scored, None, {"scoring": {"guideline": "breast-2013"}})
    assert [r.state for r in run_jobs(plan_jobs(scored, settings=settings).jobs)] == ["up to date"] * 2
    fresh = run_jobs(plan_jobs(scored, RunOptions(out=tmp_path / "fresh"), settings).jobs)
    for one, two in zip(again, fresh, strict=True):
        assert one.run_dir is not None
        assert two.run_dir is not None
        assert one.run_dir.name == two.run_dir.name
        for name in ("cells.npz", "score.json", "regions.geojson", "overlay.jpg"):
            assert (one.run_dir / name).read_bytes() == (two.run_dir / name).read_bytes()


def test_whole_tissue_is_rescored_to_the_same_run(project: Path, tmp_path: Path) -> None:
    for path in project.glob("*.geojson"):
        path.unlink()
    options = RunOptions(whole_tissue=True, images=("strong",))
    run_jobs(plan_jobs(project, options).jobs)
    again = next(r for r in by_guideline(project, "csco-2021") if r.name.startswith("strong"))
    settings = find_settings(project, None, {"scoring": {"guideline": "csco-2021"}})
    # The same stain vectors in both folders, so that only the way of scoring differs.
    (tmp_path / "fresh").mkdir()
    shutil.copy(project / "her2" / "stains.json", tmp_path / "fresh")
    (fresh,) = run_jobs(plan_jobs(project, replace(options, out=tmp_path / "fresh"), settings).jobs)
    assert again.run_dir is not None
    assert fresh.run_dir is not None
    assert again.run_dir.name == fresh.run_dir.name
    for name in ("cells.npz", "score.json", "regions.geojson"):
        assert (again.run_dir / name).read_bytes() == (fresh.run_dir / name).read_bytes()


def test_back_to_the_first_guideline_is_up_to_date(scored: Path) -> None:
    by_guideline(scored, "csco-2021")
    assert [result.state for result in by_guideline(scored, None)] == ["up to date"] * 2


def test_case_data_change_the_guideline(scored: Path) -> None:
    results = by_guideline(scored, None, site="gastric", specimen="biopsy")
    assert {r.score.guideline for r in results if r.score} == {"CAP/ASCP/ASCO gastric 2016, biopsy"}


def test_images_without_cells_and_an_unknown_guideline(project: Path) -> None:
    with pytest.raises(ExchangeError, match="qupath-her2 run"):
        by_guideline(project, None)
    run_jobs(plan_jobs(project, RunOptions(images=("pale",))).jobs)
    pale, strong = by_guideline(project, None)
    assert (pale.state, strong.state) == ("up to date", "failed")
    assert "qupath-her2 run" in (strong.error or "")
    for path in project.glob("*.geojson"):
        path.unlink()
    run_jobs(plan_jobs(project).jobs)
    refused = by_guideline(project, "csco-2021")
    assert [result.state for result in refused] == ["up to date"] * 2
    assert [r.score.status for r in refused if r.score] == ["not assessable"] * 2
    with pytest.raises(SettingsError, match="is unknown"):
        by_guideline(project, "none")


def test_damaged_cells_fail_with_the_way_out(scored: Path) -> None:
    for path in (scored / "her2" / "results").glob("pale*/*/cells.npz"):
        path.write_bytes(b"junk")
    for path in (scored / "her2" / "results").glob("*/*/cells.npz"):
        path.write_bytes(path.read_bytes()[:-1])
    results = by_guideline(scored, "csco-2021")
    assert [result.state for result in results] == ["failed"] * 2
    assert "--force" in (results[0].error or "")
