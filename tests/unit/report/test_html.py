from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import OutputError
from qupath_her2.project.visible_text import visible_text
from qupath_her2.records import CELL_CLASSES, CaseInfo, Score, SlideScore
from qupath_her2.report.html import ReportPictures, count_states, write_html
from qupath_her2.report.pictures import encode_jpeg
from qupath_her2.report.summary_table import RegionRow, SummaryRow

JPEG = encode_jpeg(np.full((20, 30, 3), 120, np.uint8))


def score(value: str | None = "2+", **more: object) -> SlideScore:
    fields: dict[str, object] = {
        "status": "scored" if value else "not assessable",
        "score": value,
        "reason": "2+: 23.0 % of 8,412 tumour cells.",
        "guideline": "ASCO/CAP breast 2018/2023",
        "shares": dict(zip(CELL_CLASSES, (0.6, 0.1, 0.25, 0.05), strict=True)),
        "intervals": dict(
            zip(CELL_CLASSES, ((0.5, 0.7), (0.08, 0.12), (0.2, 0.3), (0.04, 0.06)), strict=True)
        ),
        "complete_share": 0.3,
        "h_score": 75.0,
        "n_cells": 8412,
        "cells_to_next_score": 12,
        "warnings": ("pixels of 0.50 µm <coarse>",),
        "tags": ("HER2-low",),
    }
    return SlideScore(**{**fields, **more})  # type: ignore[arg-type]


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that what opens closes."""

    VOID = frozenset({"meta", "img", "rect", "path", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(path: Path) -> Page:
    parsed = Page()
    parsed.feed(path.read_text(encoding="utf-8"))
    parsed.close()
    assert parsed.open == []
    return parsed


def test_page_shows_what_the_score_holds(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    refused = score(None, reason="Not assessable: blurred.", shares={}, intervals={}, n_cells=0)
    rows = [
        SummaryRow("1_a", "a & <b>.png", "scored", CaseInfo(case="K 7"), score(), "r1"),
        SummaryRow("2_b", "b.png", "not assessable", score=refused),
        SummaryRow("3_c", "c.png", "failed", error="Image 'c.png' cannot be read."),
    ]
    pictures = [ReportPictures(JPEG, JPEG, {"Tumor: 3+": JPEG}, 24.0), ReportPictures(), ReportPictures()]
    write_html(path, rows, iter(pictures), version="1.2.3")
    parsed = page(path)
    text = parsed.text
    assert "a & <b>.png" in text
    assert "Research use only" in text
    assert "3 images: 1 scored, 1 not assessable, 1 failed" in text
    assert "2+: 23.0 % of 8,412 tumour cells." in text
    assert "25.0 % (20.0 to 30.0)" in text
    assert "pixels of 0.50 µm <coarse>" in text
    assert "Not assessable: blurred." in text
    assert "Image 'c.png' cannot be read." in text
    assert "HER2-low" in text
    assert "the score would change if 12 cells were in another class" in text
    assert "complete membrane in 30.0 % of cells" in text
    assert sum(tag == "img" for tag, _ in parsed.tags) == 3
    assert not list(tmp_path.glob("*.tmp"))


def test_page_loads_nothing_from_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    row = SummaryRow("1", "x.png' onerror='alert(1)", "scored", score=score(), run="r")
    write_html(path, [row], [ReportPictures(JPEG, JPEG, {}, 24.0)], version="1")
    parsed = page(path)
    assert {tag for tag, _ in parsed.tags}.isdisjoint({"script", "link", "iframe", "object", "base"})
    for _, attributes in parsed.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value is not None
                assert value.startswith(("data:image/jpeg;base64,", "#image-"))


def test_bars_are_as_long_as_the_shares(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_html(
        path, [SummaryRow("1", "a", "scored", score=score(), run="r")], [ReportPictures()], version="1"
    )
    widths = [a["width"] for tag, a in page(path).tags if tag == "rect" and a.get("fill") != "#eef1f4"]
    assert [float(w or 0) for w in widths] == pytest.approx([270.0, 45.0, 112.5, 22.5])


def test_regions_are_listed_where_there_are_several(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    one = Score("scored", "1+", "because", "g", n_cells=120, h_score=41.0)
    regions = (
        RegionRow("b", "Core A1", "TMA core", None, "scored", "because", score=one),
        RegionRow("a", "Core <A2>", "TMA core", None, "missing", "It is marked missing."),
    )
    row = SummaryRow("1", "a", "scored", score=score(), run="r", regions=regions)
    write_html(path, [row], [ReportPictures()], version="1")
    text = page(path).text
    assert "TMA cores" in text
    words = ("Core A1", "1+", "41", "120", "because", "Core <A2>", "missing", "It is marked missing.")
    places = [text.index(word, text.index("TMA cores")) for word in words]
    assert places == sorted(places)
    write_html(path, [replace(row, regions=regions[:1])], [ReportPictures()], version="1")
    assert "Core A1" not in page(path).text


def test_numbers_of_what_is_not_assessable_stand_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    core = RegionRow(
        "b", "Core A1", "TMA core", None, "not assessable", "few", score=score(None, h_score=61.0)
    )
    other = replace(core, id="c", name="Core A2", score=score("1+", h_score=41.0))
    row = SummaryRow("1", "a", "not assessable", score=score(None), run="r", regions=(core, other))
    write_html(path, [row], [ReportPictures()], version="1")
    # Without the style sheet, which is full of numbers.
    text = page(path).text.rsplit("HER2 report", 1)[1]
    assert "41" in text
    assert "8,412" in text
    for number in ("60.0", "10.0", "25.0", "5.0", "30.0", "75", "61", "Share of cells"):
        assert number not in text, number


def test_an_unwritable_path_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_html(tmp_path / "no" / "report.html", [], [], version="1")


def test_an_interrupted_report_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def broken():
        yield ReportPictures()
        raise KeyboardInterrupt

    rows = [SummaryRow(str(i), "a", "scored", score=score(), run="r") for i in range(2)]
    with pytest.raises(KeyboardInterrupt):
        write_html(path, rows, broken(), version="1")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_counts_in_words() -> None:
    assert count_states([]) == "0 images"
    assert count_states([SummaryRow("1", "a", "failed")]) == "1 image: 1 failed"


HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "</style><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}",
    "=cmd|' /C calc'!A0",
    "slide\u202egpj.exe",
    "a\x00b\x1b[31m\r\nc",
    "K\udce4se.svs",
    "x" * 255,
    "&lt;b&gt;",
)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_name_becomes_markup_and_none_is_lost(name: str, tmp_path: Path) -> None:
    rows = [
        SummaryRow(
            "1_a",
            name,
            "scored",
            CaseInfo(name, stain=name),
            score(warnings=(name,), tags=(name,), reason=name),
            run=name,
            regions=(RegionRow("u", name, "annotation", name, "scored", name),),
        ),
        SummaryRow("2_b", name, "failed", CaseInfo(name), error=name),
    ]
    plain = [replace(row, name="plain", case=CaseInfo("plain")) for row in rows]
    for file, some in (("a", rows), ("b", plain)):
        pictures = [ReportPictures(JPEG, JPEG, {}, 24.0), ReportPictures()]
        write_html(tmp_path / file, some, pictures, version="1", title=some[0].name, notes=(some[0].name,))
    parsed, other = page(tmp_path / "a"), page(tmp_path / "b")
    # A name changes no tag of the page and adds no attribute.
    assert [(tag, sorted(held)) for tag, held in parsed.tags] == [
        (tag, sorted(held)) for tag, held in other.tags
    ]
    assert "script" not in {tag for tag, _ in parsed.tags}
    assert " ".join(visible_text(name).split()) in " ".join(parsed.text.split())
    assert not set("\u202e\x00\x1b") & set((tmp_path / "a").read_text(encoding="utf-8"))
