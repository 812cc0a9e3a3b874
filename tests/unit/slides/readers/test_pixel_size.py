from __future__ import annotations

import pytest

from qupath_her2.slides.readers.pixel_size import tagged_pixel_size_um, usable_pixel_size_um


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.25, 0.25),
        ("0.25", 0.25),
        ("0,25", 0.25),
        (" 0,5 ", 0.5),
        ("1,234.5", None),
        ("0,2,5", None),
        (2e-6, None),
        (0, None),
        (-0.25, None),
        (101, None),
        ("nan", None),
        ("inf", None),
        (None, None),
        ("micron", None),
    ],
)
def test_numbers_and_text_with_a_point_or_a_comma(value: object, expected: float | None) -> None:
    assert usable_pixel_size_um(value) == expected


@pytest.mark.parametrize("dpi", [72, 96, 150, 300, 600, 1200, 2400])
def test_print_resolutions_say_nothing(dpi: int) -> None:
    assert tagged_pixel_size_um(25_400 / dpi) is None


@pytest.mark.parametrize("size_um", [0.1, 0.25, 0.5, 1.0, 4.0, 10.0])
def test_resolutions_of_scanners_count(size_um: float) -> None:
    assert tagged_pixel_size_um(size_um) == size_um


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.25, 0.25), ("0.499", 0.499), (100, 100.0), (0, None), (-1, None), (100.1, None), (352.8, None)]
    + [(v, None) for v in ("", "nan", "inf", "abc", None, float("nan"))],
)
def test_pixel_sizes_no_microscope_has_are_none(value, expected):
    assert usable_pixel_size_um(value) == expected
