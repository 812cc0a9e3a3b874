"""Image ids are safe, short, unique folder names."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qupath_her2.errors import ExchangeError
from qupath_her2.project.exchange.image_ids import folder_image_id, image_folder, image_id


@pytest.mark.parametrize(
    ("entry", "name", "expected"),
    [
        ("3", "Case 07 (HER2).svs", "3_Case-07-HER2"),
        ("3", "Käse œuvre.tif", "3_Kase-uvre"),
        ("3", "病例.svs", "3"),
        ("3", "con.png", "3_con"),
        ("3", None, "3"),
        ("3", "a" * 90 + ".png", "3_" + "a" * 40),
        ("3", "..", "3"),
        ("3", "no extension", "3_no-extension"),
    ],
)
def test_image_id(entry: str, name: str | None, expected: str) -> None:
    assert image_id(entry, name) == expected


@pytest.mark.parametrize("entry", ["", "../x", "a/b", "a b", "é"])
def test_an_entry_id_cannot_lead_out_of_the_folder(entry: str) -> None:
    with pytest.raises(ExchangeError, match="cannot name a folder"):
        image_id(entry, "x.png")


@given(st.text(min_size=1, max_size=60))
def test_folder_image_id_is_a_safe_short_name(name: str) -> None:
    identity = folder_image_id(name)
    assert re.fullmatch(r"[0-9a-f]{10}(_[0-9A-Za-z-]{1,40})?", identity)
    assert identity == folder_image_id(unicodedata.normalize("NFD", unicodedata.normalize("NFC", name)))


@given(
    st.lists(
        st.text(max_size=30), min_size=2, max_size=20, unique_by=lambda t: unicodedata.normalize("NFC", t)
    )
)
def test_different_names_have_different_ids(names: list[str]) -> None:
    unlike = {unicodedata.normalize("NFC", name.replace("\\", "/")) for name in names}
    assert len({folder_image_id(name).casefold() for name in names}) == len(unlike)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Fall Ü 12.plain.svs", "7_Fall-U-12-plain"),
        (".hidden", "7_hidden"),
        ("日本", "7"),
        ("a" * 60 + ".svs", "7_" + "a" * 40),
        ("x" * 39 + " y.tif", "7_" + "x" * 39),
        ("ﬁle №5 ½.tif", "7_file-No5-12"),
        ("---", "7"),
        (None, "7"),
    ],
)
def test_image_ids_equal_those_of_the_exporter(name: str | None, slug: str) -> None:
    """tests/groovy/test_export_regions.py asks the Groovy exporter for the same names."""
    assert image_id("7", name) == slug


def test_an_image_id_from_a_file_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    for name in ("../../etc", "", "a/b", ".hidden"):
        with pytest.raises(ExchangeError, match="is not the id of an image"):
            image_folder(tmp_path, name)
