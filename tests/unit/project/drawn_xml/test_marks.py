"""Marks of other programs as features: which label names the class, and what becomes of marks without one."""

from __future__ import annotations

import math

import pytest
from shapely import Polygon

from qupath_her2.project.class_names import ClassNames
from qupath_her2.project.drawn_xml.marks import Mark, decimal, ellipse, regions_of_marks
from qupath_her2.project.geojson.geometry import Frame

SQUARE = [(10.5, 10.0), (50.5, 10.0), (50.5, 50.0), (10.5, 50.0)]
# Wide enough that coordinates this small could be taken for longitude and latitude.
FRAME = Frame(5000, 5000)


def sort(*marks: Mark, **options):
    return regions_of_marks(
        marks, FRAME, options.pop("names", ClassNames()), no_class="has no class", **options
    )


@pytest.mark.parametrize(
    ("labels", "class_name", "role"),
    [
        (["Tumor"], "Tumor", "tumour"),
        (["tumour 2"], "tumour", "tumour"),
        (["Tumor #3"], "Tumor", "tumour"),
        (["TUMOR_1"], "TUMOR", "tumour"),
        (["IDC (1)"], "IDC", "tumour"),
        (["my note", "Stroma"], "Stroma", "stroma"),
        (["DCIS", "Tumor"], "DCIS", "in_situ"),
        (["Necrosis 1"], "Necrosis 1", "ignore"),
    ],
)
def test_the_first_label_that_is_known_is_the_class(labels: list[str], class_name: str, role: str) -> None:
    (region,) = sort(Mark("1", labels, xy=SQUARE)).regions
    assert (region.class_name, region.role, region.name) == (class_name, role, labels[0])


def test_grades_are_labels_of_training_and_no_regions() -> None:
    found = sort(Mark("1", ["3+"], xy=SQUARE), Mark("2", ["Tumor: 2+"], layer="b", xy=SQUARE))
    assert found.regions == ()
    assert [region.class_name for region in found.labels] == ["3+", "Tumor: 2+"]


def test_marks_without_a_class_are_set_aside_or_tumour_by_the_setting() -> None:
    marks = [
        Mark("1", ["Layer 1"], "Layer 1", xy=SQUARE),
        Mark("2", [], xy=[(x + 100, y) for x, y in SQUARE]),
    ]
    found = sort(*marks)
    assert [(one.index, one.id, one.reason) for one in found.quarantined] == [
        (0, "1", "has no class"),
        (1, "2", "has no class"),
    ]
    found = sort(*marks, names=ClassNames(unclassified_is_tumour=True))
    assert [region.role for region in found.regions] == ["tumour", "tumour"]


def test_negative_marks_subtract_whatever_their_labels_and_the_given_class() -> None:
    inner = [(20, 20), (30, 20), (30, 30)]
    found = sort(
        Mark("1", ["x"], xy=SQUARE), Mark("2", ["Tumor"], is_negative=True, xy=inner), every_class="Tumor"
    )
    assert [(region.class_name, region.role) for region in found.regions] == [
        ("Tumor", "tumour"),
        ("Ignore*", "ignore"),
    ]


def test_small_coordinates_are_pixels_never_degrees() -> None:
    (region,) = sort(Mark("1", ["Tumor"], xy=SQUARE)).regions
    assert region.geometry.equals(Polygon(SQUARE))


@pytest.mark.parametrize(
    ("text", "value"), [("12", 12.0), (" 1e2 ", 100.0), ("12,5", 12.5), ("-3.5", -3.5), ("inf", math.inf)]
)
def test_numbers_with_point_or_comma(text: str, value: float) -> None:
    assert decimal(text) == value


@pytest.mark.parametrize("text", [None, "", "a", "1,000,000", "1.000,5", "0x10"])
def test_texts_that_are_no_numbers_are_nan(text: str | None) -> None:
    assert math.isnan(decimal(text))


def test_an_ellipse_fills_its_box() -> None:
    shape = Polygon(ellipse((10, 20), (50, 30)))
    assert shape.bounds == pytest.approx((10, 20, 50, 30))
    assert shape.area == pytest.approx(math.pi * 20 * 5, rel=5e-4)
