from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qupath_her2.cli import app


def test_without_its_extra_the_pip_line_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "fastapi" else found(name, *rest)
    )
    done = CliRunner().invoke(app, ["serve", "--state", str(tmp_path)])
    assert done.exit_code == 1
    assert 'pip install "qupath-her2[serve]"' in done.output
    assert "fastapi" in done.output
