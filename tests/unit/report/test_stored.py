"""Stored regions: those of the record come back in its order; a file that does not match is refused."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from qupath_her2.batch.local import run_jobs
from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.runs import read_record
from qupath_her2.report.stored import stored_regions
from qupath_her2.runs.plan import plan_jobs


@pytest.fixture
def scored(project: Path) -> Path:
    run_jobs(plan_jobs(project).jobs)
    return project / "her2"


def test_stored_regions_that_do_not_match_their_record_are_refused(scored: Path) -> None:
    run_dir = next((scored / "results").glob("*pale*/*/run.json")).parent
    record = read_record(run_dir)
    regions = stored_regions(run_dir, record)
    assert [str(region.uuid) for region in regions] == [entry["uuid"] for entry in record.regions]
    path = run_dir / "regions.geojson"
    content = orjson.loads(path.read_bytes())
    content["features"].pop()
    path.write_bytes(orjson.dumps(content))
    with pytest.raises(ExchangeError, match=r"does not match its run\.json .*--force"):
        stored_regions(run_dir, record)
