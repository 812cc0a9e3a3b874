"""Exit codes and errors that all verbs share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from qupath_her2.cli import app
from qupath_her2.cli.verb import verb
from qupath_her2.errors import ImageReadError, OutputError


@pytest.mark.parametrize(
    ("outcome", "code", "said"),
    [
        (0, 0, ""),
        (3, 3, ""),
        (OutputError("The disk is full."), 1, "Error: The disk is full.\n"),
        (
            KeyboardInterrupt(),
            130,
            "Cancelled. Finished images are kept; run the same command again to continue.\n",
        ),
    ],
)
def test_each_ending_has_its_exit_code(
    outcome: int | BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @verb
    def command(debug: bool = False) -> int:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == code
    assert capsys.readouterr() == ("", said)


def test_debug_raises_the_error_itself() -> None:
    @verb
    def command(debug: bool = False) -> int:
        raise OutputError("The disk is full.")

    with pytest.raises(OutputError, match="disk is full"):
        command(debug=True)


def test_debug_lets_the_traceback_of_an_image_through(project: Path) -> None:
    (project / "pale.ome.tif").write_bytes(b"")
    done = CliRunner().invoke(app, ["run", str(project), "--debug"])
    assert isinstance(done.exception, ImageReadError)


def test_an_unexpected_error_is_one_line_and_a_traceback_only_with_debug(tmp_path: Path) -> None:
    code = (
        "import qupath_her2.batch.doctor as c; c.run_checks = None; from qupath_her2.cli import main; main()"
    )
    for extra in ([], ["--debug"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "doctor", str(tmp_path), *extra],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) == bool(extra)
        assert "TypeError" in done.stderr


def test_characters_that_the_terminal_lacks_do_not_stop_the_program(project: Path) -> None:
    ascii_only = subprocess.run(
        [sys.executable, "-m", "qupath_her2", "run", str(project / "größe → µ")],
        capture_output=True, timeout=60, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert ascii_only.returncode == 1
    assert b"does not exist" in ascii_only.stderr
