"""NDPA: nanometres on the glass become pixels of the scan; marks without area are set aside."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from qupath_her2.errors import RegionFileError
from qupath_her2.project.class_names import ClassNames
from qupath_her2.project.drawn_xml.ndpa import read_ndpa_regions
from qupath_her2.project.geojson.regions import RegionFile

WIDTH, HEIGHT = 4000, 3000
PIXEL_UM = (0.25, 0.5)
OFFSET_NM = (1_000_000.0, -2_000_000.0)


def nm(x: float, y: float) -> tuple[int, int]:
    """A pixel's place on the glass, nm from the centre of the slide."""
    return (
        round((x - WIDTH / 2) * PIXEL_UM[0] * 1000 + OFFSET_NM[0]),
        round((y - HEIGHT / 2) * PIXEL_UM[1] * 1000 + OFFSET_NM[1]),
    )


def view(inner: str, title: str = "Tumor", unit: str = "nanometers", number: int = 1) -> str:
    return (
        f'<ndpviewstate id="{number}"><title>{title}</title><details/><coordformat>{unit}</coordformat>'
        f"<lens>1.2</lens><x>77</x><y>88</y><z>0</z>{inner}</ndpviewstate>"
    )


def freehand(points: list[tuple[float, float]], closed: int = 1) -> str:
    placed = "".join("<point><x>{}</x><y>{}</y></point>".format(*nm(*point)) for point in points)
    return (
        '<annotation type="freehand" displayname="AnnotateFreehand" color="#ff0000"><measuretype>0</measuretype>'
        f"<closed>{closed}</closed><pointlist>{placed}</pointlist></annotation>"
    )


def read(folder: Path, *views: str, names: ClassNames | None = None) -> RegionFile:
    path = folder / "case.ndpi.ndpa"
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{"".join(views)}</annotations>'
    path.write_text(text, encoding="utf-8")
    return read_ndpa_regions(
        path,
        image_width=WIDTH,
        image_height=HEIGHT,
        pixel_size_um=PIXEL_UM,
        scan_offset_nm=OFFSET_NM,
        class_names=names,
    )


def test_outlines_come_out_where_they_were_drawn(tmp_path: Path) -> None:
    found = read(tmp_path, view(freehand([(100, 200), (500, 200), (500, 800), (100, 800)])))
    (region,) = found.regions
    assert (region.role, region.class_name) == ("tumour", "Tumor")
    assert region.geometry.bounds == (100, 200, 500, 800)
    assert region.geometry.area == 400 * 600


def test_a_circle_in_nm_is_an_ellipse_where_pixels_are_not_square(tmp_path: Path) -> None:
    x, y = nm(1000, 1000)
    circle = f'<annotation type="circle"><x>{x}</x><y>{y}</y><radius>50000</radius></annotation>'
    (region,) = read(tmp_path, view(circle, "tumour 2")).regions
    # 50 µm are 200 px of 0.25 µm and 100 px of 0.5 µm.
    assert region.geometry.bounds == pytest.approx((800, 900, 1200, 1100))
    assert region.geometry.area == pytest.approx(np.pi * 200 * 100, rel=1e-3)


def test_holes_of_qupaths_export_and_ignored_regions_subtract(tmp_path: Path) -> None:
    square = [(100, 100), (900, 100), (900, 900), (100, 900)]
    hole = [(300, 300), (400, 300), (400, 400), (300, 400)]
    found = read(tmp_path, view(freehand(square)), view(freehand(hole), "clear", number=2))
    assert [(region.role, region.geometry.area) for region in found.regions] == [
        ("tumour", 640_000),
        ("ignore", 10_000),
    ]


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        ('<annotation type="linearmeasure"><x1>1</x1></annotation>', "is a ruler, which has no area"),
        ('<annotation type="pointer"><x1>1</x1></annotation>', "is a pointer arrow"),
        ('<annotation type="pin"><x>1</x><y>1</y></annotation>', "is a pin"),
        ('<annotation type="spiral"/>', "is a mark of type 'spiral'"),
        ("", "is a mark of type ''"),
        (freehand([(1, 1), (900, 1), (900, 900)], closed=0), "is a line that is not closed"),
        (freehand([(1, 1), (900, 1)]), "has an outline of 3 points"),
        (freehand([(9000, 9000), (9900, 9000), (9900, 9900)]), "lies outside the image"),
        ('<annotation type="circle"><x>a</x><y>1</y><radius>5</radius></annotation>', "has NaN"),
        (
            '<annotation type="freehand"><pointlist><point><x>1</x></point></pointlist></annotation>',
            "has NaN",
        ),
        ('<annotation type="freehand"/>', "is empty"),
    ],
)
def test_marks_that_are_no_regions_are_set_aside_with_the_reason(
    inner: str, reason: str, tmp_path: Path
) -> None:
    square = freehand([(100, 100), (900, 100), (900, 900), (100, 900)])
    found = read(tmp_path, view(inner), view(square, number=7))
    assert len(found.regions) == 1
    (one,) = found.quarantined
    assert (one.index, one.id) == (0, "annotation 1 'Tumor'")
    assert one.reason.startswith(reason)


def test_other_units_are_set_aside(tmp_path: Path) -> None:
    found = read(tmp_path, view(freehand([(1, 1), (9, 1), (9, 9)]), unit="pixels"))
    assert found.regions == ()
    assert found.quarantined[0].reason == "is in 'pixels', not in nanometres; save it again from NDP.view"


def test_titles_of_no_class_are_set_aside_with_the_ways_out(tmp_path: Path) -> None:
    square = view(freehand([(100, 100), (900, 100), (900, 900), (100, 900)]), "area 3")
    found = read(tmp_path, square)
    assert found.regions == ()
    assert "give it the title Tumor" in found.quarantined[0].reason
    found = read(tmp_path, square, names=ClassNames(unclassified_is_tumour=True))
    assert [(region.role, region.name) for region in found.regions] == [("tumour", "area 3")]


def test_ids_stay_the_same_and_follow_the_outline(tmp_path: Path) -> None:
    one = view(freehand([(100, 100), (900, 100), (900, 900)]))
    other = view(freehand([(100, 100), (900, 100), (900, 800)]), number=2)
    first, again = read(tmp_path, one, other), read(tmp_path, other, one)
    assert {region.uuid for region in first.regions} == {region.uuid for region in again.regions}
    assert len({region.uuid for region in first.regions}) == 2


@pytest.mark.parametrize(
    ("sizes", "offset"), [((None, 0.5), OFFSET_NM), ((0.25, 0.5), None), ((None, None), None)]
)
def test_an_image_without_its_place_on_the_glass_is_an_error(
    sizes: tuple[float | None, float | None], offset: tuple[float, float] | None, tmp_path: Path
) -> None:
    read(tmp_path, view(freehand([(100, 100), (900, 100), (900, 900)])))
    with pytest.raises(RegionFileError, match="counts from the centre of the glass slide"):
        read_ndpa_regions(
            tmp_path / "case.ndpi.ndpa",
            image_width=WIDTH,
            image_height=HEIGHT,
            pixel_size_um=sizes,
            scan_offset_nm=offset,
        )


@pytest.mark.parametrize("seed", range(60))
def test_any_damage_gives_our_error_or_valid_regions_and_rows(seed: int, tmp_path: Path) -> None:
    square = [(100, 100), (900, 100), (900, 900), (100, 900)]
    read(tmp_path, view(freehand(square)), view(freehand(square[:3]), "Stroma", number=2))
    path = tmp_path / "case.ndpi.ndpa"
    rng = random.Random(seed)
    data = path.read_bytes()
    junk = [
        b"<",
        b">",
        b"/",
        b"-9e999",
        b"NaN",
        b"",
        b"</point>",
        b"<x>",
        b"\xff",
        b"1e400",
        b"&a;",
        b"<point/>",
    ]
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(data))
        data = data[:place] + rng.choice(junk) + data[place + rng.randint(0, 6) :]
    path.write_bytes(data)
    try:
        found = read_ndpa_regions(
            path, image_width=WIDTH, image_height=HEIGHT, pixel_size_um=PIXEL_UM, scan_offset_nm=OFFSET_NM
        )
    except RegionFileError:
        return
    assert all(region.geometry.is_valid and region.geometry.area > 0 for region in found.regions)
    assert len(found.regions) + len(found.quarantined) == data.count(b"<ndpviewstate")
