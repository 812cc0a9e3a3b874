from __future__ import annotations

import csv
from pathlib import Path

import pytest

from qupath_her2.batch.executor import LocalExecutor
from qupath_her2.batch.finish import finish_batch
from qupath_her2.batch.plan import load_plan
from qupath_her2.batch.progress import progress_of
from qupath_her2.batch.run_batch import failed_images, jobs_left, output_folder, plan_batch, run_batch
from qupath_her2.batch.score_folder import score_folder
from qupath_her2.config import Settings
from qupath_her2.errors import Her2Error
from qupath_her2.runs.options import RunOptions


def test_a_list_of_slides_is_scored_where_they_lie(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "lists"
    elsewhere.mkdir()
    manifest = elsewhere / "slides.csv"
    lines = [
        f"{project / name},gastric,S{number}"
        for number, name in enumerate(("pale.ome.tif", "strong.ome.tif"))
    ]
    manifest.write_text("\n".join(["image,site,scanner", *lines]))
    plan = plan_batch(manifest, RunOptions(), Settings())
    assert plan.out == elsewhere / "her2" == output_folder(manifest, None)
    assert [row.probe.scanner for row in sorted(plan.rows, key=lambda row: row.ref.name)] == ["S0", "S1"]
    assert run_batch(plan, LocalExecutor(2))
    progress = progress_of(plan)
    assert progress.counts["done"] == 2
    finish_batch(plan, progress)
    with (plan.out / "summary.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["site"] for row in rows] == ["gastric", "gastric"]
    assert not (project / "her2").exists()


def test_images_of_a_list_can_be_chosen(project: Path) -> None:
    manifest = project / "slides.csv"
    manifest.write_text("image\npale.ome.tif\nstrong.ome.tif\n")
    plan = plan_batch(manifest, RunOptions(images=("pale*",)), Settings())
    assert [job.name for job in plan.jobs] == ["pale.ome.tif"]
    with pytest.raises(Her2Error, match="matches 'none"):
        plan_batch(manifest, RunOptions(images=("none*",)), Settings())


def test_a_batch_has_the_results_of_run_and_its_stain_vectors(project: Path) -> None:
    plan = plan_batch(project, RunOptions(), Settings())
    run_batch(plan, LocalExecutor())
    # The very same inputs: there is nothing for `run` to do.
    assert [result.state for result in score_folder(project)] == ["up to date"] * 2


def test_whatever_has_no_result_is_listed(project: Path) -> None:
    (project / "broken.svs").write_bytes(b"II*\0no slide")
    (project / "pale.geojson").write_text("{")
    plan = plan_batch(project, RunOptions(), Settings())
    listed = failed_images(plan, progress_of(plan))
    assert {name for name, _ in listed.values()} == {"broken.svs", "pale.ome.tif", "strong.ome.tif"}
    run_batch(plan, LocalExecutor())
    listed = dict(failed_images(plan, progress_of(plan)).values())
    assert set(listed) == {"broken.svs", "pale.ome.tif"}
    assert "pale.geojson" in listed["pale.ome.tif"]


def test_times_of_slides_that_ended_go_into_the_next_plan(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_batch(project, RunOptions(), Settings())
    run_batch(plan, LocalExecutor())
    monkeypatch.setattr("qupath_her2.batch.plan._ENOUGH_SLIDES", 2)
    again = plan_batch(project, RunOptions(), Settings())
    took = progress_of(plan).outcomes[plan.jobs[0].image].seconds
    assert again.rows[0].expected_s == pytest.approx(took, rel=0.9)
    assert again.rows[0].expected_s != plan.rows[0].expected_s
    assert jobs_left(load_plan(plan.out)) == []
