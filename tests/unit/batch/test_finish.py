from __future__ import annotations

import sys
from pathlib import Path

import pytest

from qupath_her2.batch.executor import LocalExecutor
from qupath_her2.batch.finish import finish_batch, time_shares
from qupath_her2.batch.progress import progress_of
from qupath_her2.batch.run_batch import plan_batch, run_batch
from qupath_her2.config import Settings
from qupath_her2.review.region_changes import written_regions
from qupath_her2.runs.options import RunOptions


def test_tables_and_page_of_a_batch(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "broken.svs").write_bytes(b"II*\0no slide")
    plan = plan_batch(project, RunOptions(), Settings())
    run_batch(plan, LocalExecutor())
    progress = progress_of(plan)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    page, notes = finish_batch(plan, progress, counts="2 done")
    assert page == project / "her2" / "cohort.html"
    assert "pip install" in notes[0]
    html = page.read_text(encoding="utf-8")
    assert "broken.svs" in html
    assert "strong.ome.tif</a>" in html
    assert notes[0].split(":")[0] in html
    shares = time_shares(progress)
    assert sum(shares.values()) == pytest.approx(1.0, abs=0.05)
    assert shares["cells"] > 0.3
    # What people change in the regions from now on is a correction.
    job = plan.jobs[0]
    assert written_regions(plan.out, job.image)[1]
