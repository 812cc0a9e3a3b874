from __future__ import annotations

from pathlib import Path

import pytest

import qupath_her2 as qh
from qupath_her2.batch.executor import LocalExecutor
from qupath_her2.errors import ExchangeError, SettingsError
from tests.unit.cli.commands import call, summary


def test_a_batch_ends_with_tables_and_is_not_done_twice(project: Path) -> None:
    (project / "broken.svs").write_bytes(b"II*\0no slide")
    events: list[str] = []
    found = qh.batch_images(project, workers=2, listen=lambda event: events.append(event.image))
    assert (found.counts["done"], found.failures) == (2, {"unreadable": 1})
    assert {row["image"]: row["status"] for row in summary(project / "her2")} == {
        "broken.svs": "failed",
        "pale.ome.tif": "scored",
        "strong.ome.tif": "scored",
    }
    n = len(events)
    assert n > 0
    assert qh.batch_images(project, listen=lambda event: events.append(event.image)).counts == found.counts
    assert len(events) == n
    # The command line sees the same batch, by the folder of images as well.
    for folder in (project, project / "her2"):
        assert qh.batch_status(folder).counts == found.counts
    assert "2 done" in call("status", project)[1]


def test_a_project_keeps_its_choice_of_images_and_the_executor_is_ours(project: Path, tmp_path: Path) -> None:
    opened = qh.open_project(project, images=["strong*"])
    found = qh.batch_images(
        opened, out=tmp_path / "out", executor=LocalExecutor(1), guideline="gastric-biopsy"
    )
    assert found.counts["done"] == 1
    (row,) = summary(tmp_path / "out")
    assert row["image"] == "strong.ome.tif"
    assert "gastric" in row["guideline"]


def test_what_cannot_start_says_why(project: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs a network"):
        qh.batch_images(project, kind="predict")
    with pytest.raises(ExchangeError, match="has no plan of a batch"):
        qh.batch_status(tmp_path)
