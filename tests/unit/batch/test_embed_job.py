"""Embedding as a job; needs torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qupath_her2.batch.embed_job import EmbedJob
from qupath_her2.batch.executor import LocalExecutor
from qupath_her2.batch.finish import finish_batch
from qupath_her2.batch.job import at_half_load, image_file, perform
from qupath_her2.batch.progress import progress_of
from qupath_her2.batch.run_batch import jobs_left, plan_embedding, run_batch
from qupath_her2.config import Settings
from qupath_her2.runs.options import RunOptions

pytest.importorskip("torch")

SMALL = Settings(embed=replace(Settings().embed, encoder="timm:test_convnext", patch_size_px=96))


def test_a_folder_is_embedded_by_the_same_executors(project: Path) -> None:
    out = project / "features"
    (project / "broken.svs").write_bytes(b"II*\0no slide")
    plan = plan_embedding(project, RunOptions(out=out), SMALL, weights="random")
    assert [type(job) for job in plan.jobs] == [EmbedJob] * 2
    assert run_batch(plan, LocalExecutor())
    assert {path.stem for path in out.glob("*.h5")} == {job.image for job in plan.jobs}
    progress = progress_of(plan)
    assert (progress.counts["done"], progress.counts["failed"]) == (2, 1)
    table, _ = finish_batch(plan, progress)
    text = table.read_text(encoding="utf-8-sig")
    assert text.count(",embedded,") == 2
    assert "unreadable" in text
    assert jobs_left(plan_embedding(project, RunOptions(out=out), SMALL, weights="random")) == []
    # The settings of the patches are part of the key.
    other = replace(SMALL, embed=replace(SMALL.embed, patch_size_px=64))
    assert len(jobs_left(plan_embedding(project, RunOptions(out=out), other, weights="random"))) == 2


def test_what_cannot_be_embedded_has_its_class(project: Path) -> None:
    plan = plan_embedding(project, RunOptions(out=project / "features"), SMALL, weights="random")
    job = plan.jobs[0]
    assert isinstance(job, EmbedJob)
    assert image_file(job) == job.source.path
    assert at_half_load(job).settings.predict.batch_size == SMALL.predict.batch_size // 2
    assert perform(job).state == "embedded"
    assert perform(job).state == "up to date"
    gone = replace(job, source=replace(job.source, path=project / "gone.tif"))
    assert (perform(gone).state, perform(gone).failure) == ("failed", "unreadable")
