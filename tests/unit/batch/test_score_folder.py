from __future__ import annotations

import csv
from pathlib import Path

import pytest

from qupath_her2.batch.job import JobEvent
from qupath_her2.batch.score_folder import failures, score_folder
from qupath_her2.errors import Her2Error


def test_a_folder_is_scored_and_reported_with_its_failures(project: Path) -> None:
    (project / "broken.png").write_bytes(b"not a picture")
    events: list[JobEvent] = []
    results = score_folder(project, listen=events.append, pixel_size_um=0.5)
    assert [(result.name, result.state) for result in results] == [
        ("broken.png", "failed"),
        ("pale.ome.tif", "scored"),
        ("strong.ome.tif", "scored"),
    ]
    assert [event.name for event in events if event.kind == "finished"] == [result.name for result in results]
    (name, message) = failures(results)[results[0].image]
    assert name == "broken.png"
    assert "broken.png" in message
    with (project / "her2" / "summary.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert [row for row in rows if "broken.png" in row]
    assert (project / "her2" / "report.html").is_file()


def test_a_run_that_cannot_start_raises(tmp_path: Path) -> None:
    with pytest.raises(Her2Error, match="No image"):
        score_folder(tmp_path)
