"""``report``: the report from stored results alone."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.commands import call


def test_report_without_the_images_still_says_everything(project: Path) -> None:
    call("run", project)
    for path in project.glob("*.ome.tif"):
        path.unlink()
    code, _, err = call("report", project)
    assert code == 0, err
    html = (project / "her2" / "report.html").read_text(encoding="utf-8")
    assert "No thumbnail and no typical cells" in html
    assert "strong.ome.tif" in html
