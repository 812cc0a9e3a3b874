"""Flags of ``train`` that go together or not."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from qupath_her2.cli import app


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--recipe", "patch-count", "--folds", "2"), 2, "--folds"),
        (("--recipe", "her2net", "--folds", "3"), 1, "--folds is of networks that classify patches"),
        (("--recipe", "patch-count", "--rivals"), 1, "are of --recipe her2net"),
    ],
)
def test_flags_that_do_not_go_together(tmp_path: Path, flags: tuple[str, ...], code: int, said: str) -> None:
    done = CliRunner().invoke(app, ["train", str(tmp_path), *flags], env={"COLUMNS": "200"})
    assert done.exit_code == code
    assert said in done.stdout + done.stderr
