"""``score``: stored cells by another guideline."""

from __future__ import annotations

from pathlib import Path

from tests.unit.cli.commands import call, summary


def test_score_again_and_report_again(project: Path) -> None:
    call("run", project)
    code, out, err = call("score", project, "--guideline", "csco-2021")
    assert code == 0, err
    assert {row["guideline"] for row in summary(project / "her2")} == {"CSCO breast 2021"}
    (project / "her2" / "report.html").unlink()
    code, out, _ = call("report", project)
    assert code == 0
    assert "2 images: 2 scored" in out
    assert (project / "her2" / "report.html").is_file()
