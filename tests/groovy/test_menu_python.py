from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.groovy.fields import HERE, Fields, program_of
from tests.helpers.qupath import QuPath

pytestmark = [
    pytest.mark.qupath,
    pytest.mark.skipif(sys.platform == "win32", reason="NOT TESTED: the Python is started by a shell script"),
]


def test_cancel_ends_python_and_all_its_descendants(qupath: QuPath, tmp_path: Path) -> None:
    """One grandchild ignores the signal to terminate; what was told before the cancel is not lost."""
    probe = "case $1 in -c) echo 3.12 9.9; exit 0;; esac"
    tree = (
        "(trap '' TERM; while true; do sleep 0.2; done) & echo $! > children; sleep 300 & echo $! >> children; "
        'echo $$ >> children; echo \'{"event": "started"}\'; echo \'{"event": "finished"}\'; sleep 5; touch told; wait'
    )
    python = program_of(tmp_path / "python", f"{probe}; {tree}")
    fields = Fields(qupath, tmp_path, tmp_path / "private")
    said = fields.run(HERE / "python_run.groovy", "--args", str(tmp_path), python=python)
    assert "PYTHON 3.12 9.9" in said, said
    assert "CLEAN [HOME, PYTHONSAFEPATH, PYTHONUNBUFFERED, PYTHONUTF8]" in said
    assert "THROWN Her2Cancelled: Cancelled. Nothing in the image was changed." in said
    assert "EVENTS [started, finished]" in said, said
    assert "CHILDREN 3 RUNNING 0" in said
