"""Examples are run: the scripts in ``example_projects``, and the docstrings' examples of the Python functions."""

from __future__ import annotations

import doctest
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "example_projects").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_script_runs_and_says_what_it_found(script: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "case04.ome.tif: 3+" in done.stdout
    assert (Path(done.stdout.strip().splitlines()[-1].removeprefix("report: "))).is_file()


def test_there_is_a_script() -> None:
    assert SCRIPTS


def test_the_examples_in_docstrings_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas")
    monkeypatch.chdir(ROOT)
    import qupath_her2 as qh

    shared = {
        "tmp": tmp_path,
        "results": qh.run("example_projects/01_score_cells", images=("case04*",), out=tmp_path),
    }
    tried = 0
    for name in ("", ".api.project", ".api.scoring", ".api.tables", ".api.networks"):
        module = importlib.import_module(f"qupath_her2{name}")
        found = doctest.testmod(module, extraglobs=shared, optionflags=doctest.NORMALIZE_WHITESPACE)
        assert found.failed == 0, name
        tried += found.attempted
    assert tried > 8
