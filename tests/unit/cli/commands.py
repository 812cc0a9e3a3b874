"""Shared by the tests of the command line."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from qupath_her2.cli import app


def call(*arguments: object) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code, standard output and standard error."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def summary(folder: Path) -> list[dict[str, str]]:
    """Return the rows of ``summary.csv``."""
    text = (folder / "summary.csv").read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def start(*arguments: object, **more: object) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "qupath_her2", *(str(argument) for argument in arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        **more,  # type: ignore[call-overload]
    )
