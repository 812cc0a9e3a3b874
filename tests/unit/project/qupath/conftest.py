"""A recorder in place of QuPath, and a small folder of Groovy scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.project.qupath import pull as pull_module
from qupath_her2.project.qupath import push as push_module
from qupath_her2.project.qupath import scripts
from tests.helpers.qupath_requests import SOME, Recorder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder({"images": 2, "regions": 3, "cells": 0, "refused": {"b": "why"}})
    for module in (pull_module, push_module):
        monkeypatch.setattr(module, "choose_qupath", lambda version: SOME if version == "0.6.0" else None)
        monkeypatch.setattr(module, "call_qupath", recorder)
    return recorder


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three scripts, among them the start-up script."""
    folder = tmp_path / "groovy"
    for name in ("score.groovy", "startup.groovy", "lib/Her2X.groovy"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    monkeypatch.setattr(scripts, "groovy_folder", lambda: folder)
    return folder
