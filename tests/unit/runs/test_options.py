from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from qupath_her2.config import Settings, load_settings
from qupath_her2.errors import SettingsError
from qupath_her2.runs.cell_sources import CellSource
from qupath_her2.runs.methods.cells import CellsMethod
from qupath_her2.runs.methods.indicators import IndicatorsMethod
from qupath_her2.runs.methods.patches import PatchesMethod
from qupath_her2.runs.methods.proposals import ProposalsMethod
from qupath_her2.runs.options import RunOptions
from qupath_her2.runs.plan import plan_jobs
from qupath_her2.runs.types import Method

ON = load_settings(None, {"find_tumour": {"is_on": True}})


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


@pytest.mark.parametrize(
    ("options", "settings", "expected"),
    [
        (RunOptions(), Settings(), False),
        (RunOptions(find_tumour=True), Settings(), True),
        (RunOptions(), ON, True),
        (RunOptions(whole_tissue=True), ON, False),
        (RunOptions(method=IndicatorsMethod()), ON, False),
        (RunOptions(method=ProposalsMethod()), Settings(), True),
    ],
)
def test_a_search_is_made_where_flag_or_setting_ask_for_it(
    options: RunOptions, settings: Settings, expected: bool
) -> None:
    assert options.searches_tumour(settings) is expected


def test_flags_that_contradict_each_other_are_refused() -> None:
    RunOptions(whole_tissue=True).check_search()
    RunOptions(find_tumour=True, method=CellsMethod()).check_search()
    with pytest.raises(SettingsError, match=r"--whole-tissue everything on the glass\. Leave one out"):
        RunOptions(find_tumour=True, whole_tissue=True).check_search()
    with pytest.raises(SettingsError, match=r"method 'indicators'.*Leave --find-tumour out"):
        RunOptions(find_tumour=True, method=IndicatorsMethod()).check_search()
