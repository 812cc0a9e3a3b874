"""Files and record of a finished run."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from qupath_her2.project.exchange.runs import read_record, read_run
from qupath_her2.runs import score_image as job_module
from qupath_her2.runs.options import RunOptions, ScoreJob
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.score_image import score_image


def job_of(project: Path, name: str = "pale", **options: object) -> ScoreJob:
    (job,) = plan_jobs(project, RunOptions(images=(name,), **options)).jobs  # type: ignore[arg-type]
    return job


def with_geojson(job: ScoreJob) -> ScoreJob:
    return replace(job, options=replace(job.options, geojson=True))


def test_the_record_lists_every_file_with_its_hash_and_what_was_used(project: Path) -> None:
    command = ("qupath-her2", "run", "study")
    result = score_image(job_of(project, "strong", command=command))
    assert result.run_dir is not None
    record, table, score = read_run(result.run_dir)
    written = {path.name for path in result.run_dir.iterdir()} - {"run.json"}
    assert set(record.files) == written
    for name in written:
        assert record.files[name] == hashlib.sha256((result.run_dir / name).read_bytes()).hexdigest()
    assert record.command == command
    assert set(record.inputs) == {"image", "measurement", "outlines", "regions"}
    assert record.inputs["regions"] == hashlib.sha256((project / "strong.geojson").read_bytes()).hexdigest()
    assert record.settings["used"]["whole_tissue"] is False
    assert table is not None
    counted = sum(record.counts[name] for name in table.class_names)
    assert record.counts["cells"] == len(table) >= record.counts["cells_measured"] == score.n_cells == counted
    # Fields of 420 x 420 px at 0.5 µm: the regions cannot be larger than the image.
    assert 0 < sum(region["area_um2"] for region in record.regions) <= 210**2


def test_the_path_is_relative_so_that_a_moved_project_still_works(project: Path, tmp_path: Path) -> None:
    result = score_image(job_of(project))
    assert result.run_dir is not None
    assert read_record(result.run_dir).image["path"] == "pale.ome.tif"
    outside = score_image(job_of(project, out=tmp_path / "elsewhere" / "her2"))
    assert outside.run_dir is not None
    assert read_record(outside.run_dir).image["path"] == (project / "pale.ome.tif").resolve().as_posix()
    moved = project.rename(tmp_path / "moved")
    assert score_image(job_of(moved)).state == "up to date"
    shutil.rmtree(moved)


def test_cells_as_geojson_can_be_added_later_without_measuring(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(project)
    score_image(job)
    monkeypatch.setattr(job_module, "set_up_image", None)
    result = score_image(with_geojson(job))
    assert result.state == "up to date"
    assert result.run_dir is not None
    assert "cells.geojson.gz" in read_run(result.run_dir)[0].files
    assert score_image(with_geojson(job)).run_dir == result.run_dir
