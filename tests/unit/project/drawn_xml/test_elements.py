"""XML of unknown origin: elements and texts are reported, entities and document types refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from qupath_her2.errors import RegionFileError
from qupath_her2.project.drawn_xml import elements
from qupath_her2.project.drawn_xml.elements import parse_elements, root_element


def parsed(path: Path) -> tuple[list[tuple[str, dict[str, str]]], list[tuple[str, str]]]:
    started, ended = [], []
    parse_elements(
        path, lambda *one: started.append(one), lambda *one: ended.append(one), program="ImageScope"
    )
    return started, ended


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig", "latin-1"])
def test_elements_attributes_and_texts(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    declared = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{declared}"?><p:a n="Käse"><b> Läger &amp; mehr </b>tail</p:a>'
    path.write_bytes(text.encode(encoding))
    assert parsed(path) == ([("a", {"n": "Käse"}), ("b", {})], [("b", "Läger & mehr"), ("a", "tail")])
    assert root_element(path) == "a"


BILLION_LAUGHS = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;">]><a><b>&c;</b></a>'
FILE_OF_THIS_MACHINE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]><a>&b;</a>'
EXTERNAL_TYPE = '<!DOCTYPE a SYSTEM "http://localhost:9/a.dtd"><a/>'


@pytest.mark.parametrize("text", [BILLION_LAUGHS, FILE_OF_THIS_MACHINE, EXTERNAL_TYPE])
def test_document_types_and_entities_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(RegionFileError, match="declares a document type or entities, which ImageScope never"):
        parsed(path)


def test_deep_nesting_and_long_texts_take_no_memory_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<a>" * 50_000 + "x" * 1_000_000 + "</a>" * 50_000)
    started, ended = parsed(path)
    assert len(started) == len(ended) == 50_000
    assert ended[0] == ("a", "x" * elements._MAX_TEXT)


def test_files_over_the_limit_are_refused_unparsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "MAX_BYTES", 10)
    path = tmp_path / "a.xml"
    path.write_text("<aaaaaaaaaaaaaaaaaaaaa/>")
    with pytest.raises(RegionFileError, match=r"over the limit of 0 MiB\. Delete the annotations of single"):
        parsed(path)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"<a>", b"<a></b>", b"\x00\xff", b'<?xml encoding="klingon"?><a/>']
)
def test_anything_else_is_our_error(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(data)
    with pytest.raises(RegionFileError, match="is not XML"):
        parsed(path)
    assert root_element(path) in (None, "a")


def test_the_root_of_no_file_is_none(tmp_path: Path) -> None:
    assert root_element(tmp_path / "none.xml") is None
    assert root_element(tmp_path) is None
