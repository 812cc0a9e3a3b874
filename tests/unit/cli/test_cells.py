"""``cells``: scoring without the report."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.commands import call


def test_cells_leaves_the_report_for_later(project: Path) -> None:
    code, out, _ = call("cells", project)
    assert code == 0
    assert "2 scored" in out
    assert not (project / "her2" / "report.html").exists()
    assert "2/2 up to date" in call("run", project)[1]
