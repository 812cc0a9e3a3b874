from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from qupath_her2.runs.cell_sources import CellSource
from qupath_her2.runs.methods.cells import CellsMethod
from qupath_her2.runs.methods.indicators import IndicatorsMethod
from qupath_her2.runs.methods.patches import PatchesMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.types import Method


@pytest.mark.parametrize(
    "method",
    [CellsMethod(), CellsMethod(CellSource("from-regions")), IndicatorsMethod(), PatchesMethod(Path("net"))],
    ids=lambda method: f"{method.name} {getattr(method, 'source', '')}",
)
def test_options_with_any_method_can_be_sent_to_a_worker(method: Method) -> None:
    options = RunOptions(method=method, images=("a*",), pixel_size_um=0.25)
    assert pickle.loads(pickle.dumps(options)) == options


def test_a_job_can_be_sent_to_a_worker_and_names_its_image(project: Path) -> None:
    job = plan_jobs(project, RunOptions(method=IndicatorsMethod())).jobs[0]
    assert pickle.loads(pickle.dumps(job)) == job
    assert (job.name, job.image, job.method) == (job.ref.name, job.ref.id, IndicatorsMethod())
