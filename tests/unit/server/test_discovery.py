from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from qupath_her2.server.discovery import (
    STATE_VARIABLE,
    RunningService,
    find_service,
    forget_service,
    publish_service,
    state_folder,
)

HERE = RunningService("http://127.0.0.1:9", "secret", os.getpid(), "1.0")


def test_the_state_folder_may_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    assert state_folder() == tmp_path
    monkeypatch.delenv(STATE_VARIABLE)
    assert state_folder().name == "qupath-her2"


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_the_discovery_file_is_its_owners_alone(tmp_path: Path) -> None:
    publish_service(tmp_path / "state", HERE)
    mode = (tmp_path / "state" / "service.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_a_service_that_does_not_answer_is_not_found(tmp_path: Path) -> None:
    assert find_service(tmp_path) is None
    publish_service(tmp_path, HERE)
    assert find_service(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"url": 1', '{"url": "x", "token": "x", "pid": "x", "version": ""}']
)
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "service.json").write_text(text, encoding="utf-8")
    assert find_service(tmp_path) is None


def test_only_its_own_file_is_removed(tmp_path: Path) -> None:
    publish_service(tmp_path, HERE)
    forget_service(tmp_path, HERE.pid + 1)
    assert (tmp_path / "service.json").is_file()
    forget_service(tmp_path, HERE.pid)
    assert not (tmp_path / "service.json").exists()
