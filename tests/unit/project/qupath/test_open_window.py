"""Heartbeat of a QuPath window: fresh, stale, incomplete, absent."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from qupath_her2.errors import QuPathError
from qupath_her2.project.qupath.open_window import (
    FRESH_S,
    HEARTBEAT_SUFFIX,
    open_in_window,
    refuse_open_project,
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return tmp_path / "project.qpproj"


def beat(project: Path, text: str, *, age_s: float = 0) -> None:
    path = project.with_name(project.name + HEARTBEAT_SUFFIX)
    path.write_text(text)
    touched = time.time() - age_s
    os.utime(path, (touched, touched))


def test_a_project_without_heartbeat_is_not_open(project: Path) -> None:
    assert open_in_window(project) is None
    refuse_open_project(project)


def test_a_fresh_heartbeat_names_version_and_host(project: Path) -> None:
    beat(project, json.dumps({"host": "ward-7", "version": "0.7.0"}), age_s=FRESH_S - 15)
    assert open_in_window(project) == "QuPath 0.7.0 on ward-7"
    with pytest.raises(QuPathError, match=r"is open in QuPath 0\.7\.0 on ward-7\. Close it there"):
        refuse_open_project(project)


def test_a_stale_heartbeat_is_ignored(project: Path) -> None:
    beat(project, "{}", age_s=FRESH_S + 5)
    assert open_in_window(project) is None


@pytest.mark.parametrize("text", ["", '{"ho', "[]"])
def test_an_incomplete_heartbeat_counts_as_open(project: Path, text: str) -> None:
    beat(project, text)
    assert open_in_window(project) == "QuPath on this machine"


def test_asking_leaves_no_file_behind(project: Path) -> None:
    beat(project, "{}")
    open_in_window(project)
    assert [path.name for path in project.parent.iterdir()] == [project.name + HEARTBEAT_SUFFIX]
