"""Training report: sections with their pictures and tables, escaped, and nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

import pytest

from qupath_her2.errors import OutputError
from qupath_her2.report.training import Part, Picture, write_training_page
from qupath_her2.scoring.agreement.tables import Table


def test_page_holds_facts_warnings_and_the_sections_that_have_something_to_show(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    parts = [
        Part("Curves", (Picture("Loss & accuracy", b"<svg/>", "image/svg+xml"),)),
        Part("Empty"),
        Part(
            "Test set", tables=(Table("By class", ("class", "recall"), (("3+", "0.9"),), ("of 12 cases",)),)
        ),
    ]
    facts = {"Recipe": "patch <count>", "Seed": "7"}
    write_training_page(path, "Training of a & b", facts, parts, version="1.2", warnings=["patch-level"])
    page = path.read_text(encoding="utf-8")
    assert re.findall("<h2>(.*?)</h2>", page) == ["Curves", "Test set"]
    assert re.search("<h1>(.*?)</h1>", page)[1] == "Training of a &amp; b"  # type: ignore[index]
    assert f"data:image/svg+xml;base64,{base64.b64encode(b'<svg/>').decode()}" in page
    for text in ("patch <count>", "patch-level", "By class", "3+", "of 12 cases", "Research use only", "1.2"):
        assert text in html.unescape(page)
    assert "<count>" not in page
    assert not re.search(r"(?:src|href)=.(?!data:)", page)
    assert "<script" not in page


def test_a_page_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="report"):
        write_training_page(tmp_path / "absent" / "report.html", "t", {}, [], version="1")
