"""Regions from Aperio XML: shapes, classes, negative regions, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qupath_her2.errors import RegionFileError
from qupath_her2.project.class_names import ClassNames
from qupath_her2.project.drawn_xml.aperio import read_aperio_regions
from qupath_her2.project.geojson.regions import RegionFile
from tests.unit.patches.drawn_folders import (
    square,
    xml,
)


def read(folder: Path, text: str, side: int = 100) -> RegionFile:
    path = folder / "a.xml"
    path.write_text(text, encoding="utf-8")
    return read_aperio_regions(path, image_width=side, image_height=side, every_class="Tumor")


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
    assert "has the outline and class of feature 0" in one.quarantined[0].reason


@pytest.mark.parametrize(
    "points",
    [[], [(1, 1)], [(1, 1), (5, 5)], [("a", 1), (5, 5), (9, 1)], [(1, 1), (float("nan"), 5), (9, 1)]],
)
def test_a_bad_outline_is_quarantined(points: list, tmp_path: Path) -> None:
    found = read(tmp_path, xml((points, "0", "0"), (square(0, 0, 10), "0", "0")))
    assert len(found.regions) == 1
    assert [feature.index for feature in found.quarantined] == [0]


def layer(name: str, *regions: str, description: str = "") -> str:
    attributes = f'<Attributes><Attribute Name="Description" Id="0" Value="{description}"/></Attributes>'
    return f'<Annotation Id="1" Name="{name}">{attributes}<Regions>{"".join(regions)}</Regions></Annotation>'


def region(x: float, *, text: str = "", kind: str = "0", negative: str = "0", number: int = 1) -> str:
    points = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in square(x, 10, 10))
    attributes = f'Id="{number}" Type="{kind}" Text="{text}" NegativeROA="{negative}"'
    return f"<Region {attributes}><Vertices>{points}</Vertices></Region>"


def read_classes(folder: Path, *layers: str, names: ClassNames | None = None) -> RegionFile:
    path = folder / "a.xml"
    path.write_text(f"<Annotations>{''.join(layers)}</Annotations>", encoding="utf-8")
    return read_aperio_regions(path, image_width=100, image_height=100, class_names=names)


def test_the_class_is_that_of_the_text_the_layer_or_the_description(tmp_path: Path) -> None:
    found = read_classes(
        tmp_path,
        layer("Tumour", region(0), region(20, text="Necrosis"), region(40, text="see mail")),
        layer("Layer 2", region(60), description="Stroma"),
        layer("2+", region(80)),
    )
    assert [(one.class_name, one.role, one.name) for one in found.regions] == [
        ("Tumour", "tumour", "Tumour"),
        ("Necrosis", "ignore", "Necrosis"),
        ("Tumour", "tumour", "see mail"),
        ("Stroma", "stroma", "Layer 2"),
    ]
    assert [one.class_name for one in found.labels] == ["2+"]


def test_layers_of_free_text_are_set_aside_with_the_ways_out(tmp_path: Path) -> None:
    drawn = layer("Layer 1", region(0), region(20, number=2)), layer("", region(40))
    found = read_classes(tmp_path, *drawn)
    assert found.regions == ()
    assert [one.id for one in found.quarantined] == [
        "region 1 of layer 'Layer 1'",
        "region 2 of layer 'Layer 1'",
        "region 1",
    ]
    assert {one.reason for one in found.quarantined} == {
        "has no class that is known here; name its layer Tumor, Stroma or Ignore in the program that drew it, or "
        "score annotations without a class as tumour: unclassified_is_tumour = true under [regions] in her2.toml"
    }
    found = read_classes(tmp_path, *drawn, names=ClassNames(unclassified_is_tumour=True))
    assert [one.role for one in found.regions] == ["tumour"] * 3


def test_marks_without_area_are_named(tmp_path: Path) -> None:
    kinds = ("3", "4", "Arrow", "Ruler", "7")
    found = read_classes(
        tmp_path, layer("Tumor", *(region(10 * i, kind=kind) for i, kind in enumerate(kinds)))
    )
    assert [one.reason.partition(",")[0] for one in found.quarantined] == [
        "is a straight arrow",
        "is a ruler",
        "is a straight arrow",
        "is a ruler",
        "is a mark of type '7'",
    ]


def test_vertices_outside_of_regions_are_not_added_to_the_one_before(tmp_path: Path) -> None:
    found = read_classes(tmp_path, layer("Tumor", region(10), '<Vertex X="90" Y="90"/>'))
    assert found.regions[0].geometry.area == 100


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
    # Nothing vanishes without a row.
    assert len(found.regions) + len(found.quarantined) + len(found.labels) == data.count(b"<Region ")
