from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qupath_her2.errors import OutputError
from qupath_her2.report.cohort_page import write_cohort_page
from tests.unit.report.test_cohort_checks import image


def page_of(path: Path, rows: list[dict[str, Any]]) -> str:
    write_cohort_page(path, rows, counts="2 done", time_shares={"read": 0.1, "cells": 0.9}, notes=["A note."])
    return path.read_text(encoding="utf-8")


def test_the_page_links_each_slide_and_says_what_is_unlike(tmp_path: Path) -> None:
    rows = [
        image(
            k,
            stain_kind="svs",
            scanner="AB"[k % 2],
            date=f"2026-0{1 + k % 3}-10",
            membrane_dab_od=0.3 + 0.01 * (k % 7) + (k == 11),
            h_score=100.0 + k,
            cells=1000 + k,
            folder=f"results/1 a/r{k}",
        )
        for k in range(24)
    ]
    rows += [
        image(30, status="failed", score=None, reason="<b>cannot</b> be read", failure="unreadable"),
        image(0, level="core", region="A-1"),
    ]
    html = page_of(tmp_path / "cohort.html", rows)
    assert '<a href="results/1%20a/r5/overlay.jpg">s5</a>' in html
    assert "2 done" in html
    assert "read 10 %, cells 90 %" in html
    assert "By scanner" in html
    assert "By month" in html
    assert "Staining over time" in html
    assert "Slides unlike the others" in html
    # Names and reasons of others' files are text.
    assert "&lt;b&gt;cannot" in html
    assert "<script" not in html
    assert [path.name for path in tmp_path.iterdir()] == ["cohort.html"]


def test_a_cohort_of_failures_has_a_page_too(tmp_path: Path) -> None:
    html = page_of(tmp_path / "cohort.html", [image(1, status="failed", score=None, reason="gone")])
    assert "Without a result" in html
    assert "Slides unlike" not in html


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        page_of(tmp_path / "none" / "cohort.html", [])
