"""``doctor``: checks with their fixes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qupath_her2.batch import doctor as checks
from qupath_her2.batch.doctor import Check
from tests.unit.cli.commands import call


def test_doctor_shows_each_check_with_its_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Check("Python", "PASS", "3.11"), Check("GPU", "WARN", "none", "buy one [sic]")]
    monkeypatch.setattr(checks, "run_checks", lambda folder, *, inside_qupath: iter(found))
    code, out, _ = call("doctor", tmp_path)
    assert code == 0
    assert re.search(r"^Python\s+PASS  3\.11$", out, re.MULTILINE)
    assert re.search(r"^GPU\s+WARN  none\n\s+buy one \[sic\]$", out, re.MULTILINE)
    found.append(Check("Disk", "FAIL", "full", "make room"))
    code, out, _ = call("doctor", tmp_path)
    assert code == 1
    assert "1 failed, 1 warning\n" in out
