from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import RegionFileError
from qupath_her2.patches.datasets.aperio_xml import read_aperio_regions
from tests.unit.patches.drawn_folders import (
    square,
    xml,
)


def read(folder: Path, text: str, side: int = 100) -> object:
    path = folder / "a.xml"
    path.write_text(text, encoding="utf-8")
    return read_aperio_regions(path, image_width=side, image_height=side)


def test_polygons_rectangles_ellipses(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        xml(
            (square(10, 10, 20), "0", "0"),
            (square(40, 10, 20), "1", "0"),
            ([(10, 60), (40, 80)], "1", "0"),
            ([(50, 60), (90, 80)], "2", "0"),
            ([(10, 5), (20, 5)], "3", "0"),
            ([(10, 5), (20, 5)], "4", "0"),
            name="Tumour",
        ),
    )
    areas = [region.geometry.area for region in found.regions]
    assert areas[:3] == [400, 400, 600]
    assert areas[3] == pytest.approx(np.pi * 20 * 10, rel=1e-3)
    assert [region.role for region in found.regions] == ["tumour"] * 4
    assert {region.name for region in found.regions} == {"Tumour"}
    assert [feature.index for feature in found.quarantined] == [4, 5]


def test_negative_regions_subtract_and_regions_are_clipped_to_the_image(tmp_path: Path) -> None:
    found = read(tmp_path, xml((square(80, 80, 40), "0", "0"), (square(85, 85, 5), "0", "1")))
    assert [(region.role, region.geometry.area) for region in found.regions] == [
        ("tumour", 400),
        ("ignore", 25),
    ]
    assert len({region.uuid for region in found.regions}) == 2


def test_the_same_file_gives_the_same_uuids(tmp_path: Path) -> None:
    text = xml((square(0, 0, 10), "0", "0"), (square(20, 0, 10), "0", "0"), (square(0, 0, 10), "0", "0"))
    one, two = read(tmp_path, text), read(tmp_path, text)
    assert [region.uuid for region in one.regions] == [region.uuid for region in two.regions]
    assert "twice" in one.quarantined[0].reason


@pytest.mark.parametrize(
    "points",
    [[], [(1, 1)], [(1, 1), (5, 5)], [("a", 1), (5, 5), (9, 1)], [(1, 1), (float("nan"), 5), (9, 1)]],
)
def test_a_bad_outline_is_quarantined(points: list, tmp_path: Path) -> None:
    found = read(tmp_path, xml((points, "0", "0"), (square(0, 0, 10), "0", "0")))
    assert len(found.regions) == 1
    assert [feature.index for feature in found.quarantined] == [0]


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;">]>'
    "<Annotations><Annotation Name='&c;'/></Annotations>"
)

OUTSIDE = '<?xml version="1.0"?><!DOCTYPE a SYSTEM "file:///etc/hostname"><Annotations/>'


@pytest.mark.parametrize("text", [BOMB, OUTSIDE])
def test_document_types_and_entities_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(RegionFileError, match="declares a document type"):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "text", ["", "{}", "<Annotations>", '<?xml version="1.0" encoding="klingon"?><Annotations/>']
)
def test_files_other_than_xml_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(RegionFileError):
        read(tmp_path, text)


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 5000), junk=st.binary(max_size=6), cut=st.booleans())
def test_any_damage_gives_our_error_or_valid_regions(
    place: int, junk: bytes, cut: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = xml((square(10, 10, 20), "0", "0"), (square(40, 40, 20), "2", "1")).encode()
    place %= len(data)
    data = data[:place] + junk + (b"" if cut else data[place + len(junk) :])
    path = tmp_path_factory.mktemp("x") / "a.xml"
    path.write_bytes(data)
    try:
        found = read_aperio_regions(path, image_width=100, image_height=100)
    except RegionFileError:
        return
    assert all(region.geometry.is_valid and region.geometry.area > 0 for region in found.regions)
