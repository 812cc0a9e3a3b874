"""Every choice of the page is one that the program accepts."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="NOT TESTED: pip install qupath-her2[serve]")

from fastapi import FastAPI
from fastapi.testclient import TestClient

from qupath_her2.records import CaseInfo
from qupath_her2.runs.cell_sources import split_source
from qupath_her2.scoring.guidelines import GUIDELINES, guideline_for
from qupath_her2.server.choices import choices_router


def test_choices_are_accepted_by_the_names_they_have() -> None:
    app = FastAPI()
    app.include_router(choices_router())
    choices = TestClient(app).get("/api/v1/choices").json()
    assert len(choices["guidelines"]) == len(GUIDELINES)
    for one in choices["guidelines"]:
        assert guideline_for(CaseInfo(), one["key"]).name == one["name"]
    finders = [one["name"] for one in choices["cell_finders"]]
    assert finders[0] == "detect"
    assert "unet" in finders
    assert [split_source(name)[0] for name in finders] == finders
