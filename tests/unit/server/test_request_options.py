from __future__ import annotations

from dataclasses import fields

import pytest

pytest.importorskip("fastapi", reason="the service is NOT TESTED: pip install 'qupath-her2[serve]'")

from qupath_her2.runs.options import RunOptions
from qupath_her2.server.job_options import JobOptions
from qupath_her2.server.request_options import REQUEST_OPTIONS, asked_options


def test_requests_and_runs_know_each_option_by_the_same_name() -> None:
    assert len(set(REQUEST_OPTIONS)) == len(REQUEST_OPTIONS)
    assert set(REQUEST_OPTIONS) <= {one.name for one in fields(RunOptions)}
    # What a request says beside them is what is done and by what: no option of a run.
    assert set(JobOptions.model_fields) - set(REQUEST_OPTIONS) == {"verb", "cell_finder", "checkpoint", "cam"}


def test_what_a_caller_leaves_open_is_not_sent() -> None:
    given = {"series": 0, "plane": None, "whole_tissue": False, "find_tumour": True, "site": "gastric"}
    assert asked_options(given) == {"series": 0, "find_tumour": True, "site": "gastric"}
