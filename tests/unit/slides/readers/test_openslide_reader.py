from __future__ import annotations

import openslide
import pytest
from PIL import Image

from qupath_her2.slides.readers.openslide_reader import OpenSlideSlide


class FakeHandle:
    """An OpenSlide handle of a MIRAX-like slide: bounds, transparent pixels, a background colour."""

    dimensions = (4000, 3000)
    level_dimensions = ((4000, 3000), (1000, 750))
    level_downsamples = (1.0, 4.0)

    def __init__(self, bounds, **properties):
        names = ("x", "y", "width", "height")
        self.properties = {f"openslide.bounds-{n}": str(v) for n, v in zip(names, bounds, strict=False)}
        self.properties |= properties
        self.asked = []

    def read_region(self, location, level, size):
        self.asked.append((location, level, size))
        return Image.new("RGBA", size, (100, 50, 0, 0 if location[0] < 1000 else 255))

    def close(self):
        self.closed = True


def opened(monkeypatch, tmp_path, handle):
    path = tmp_path / "m.mrxs"
    path.write_bytes(b"\xff\xd8\xff\xe0 mirax index")
    monkeypatch.setattr(openslide, "OpenSlide", lambda name: handle)
    return OpenSlideSlide(path)


def test_level_0_starts_at_the_bounds_as_in_qupath(monkeypatch, tmp_path):
    handle = FakeHandle((800, 400, 1602, 1200))
    slide = opened(monkeypatch, tmp_path, handle)
    assert slide.level_dimensions == ((1602, 1200), (400, 300))
    assert slide.level_is_exact == (True, True)
    slide.read(10, 20, 30, 40)
    slide.read(40, 80, 30, 40, level=1)
    assert handle.asked == [((810, 420), 0, (30, 40)), ((840, 480), 1, (30, 40))]
    # A window across the right edge stops there: what lies beyond the bounds is not of this image.
    pixels = slide.read(1600, 0, 10, 10)
    assert handle.asked[-1] == ((2400, 400), 0, (2, 10))
    assert (pixels[:, 2:] == 255).all()


def test_bounds_off_the_level_grid_are_not_exact(monkeypatch, tmp_path):
    assert opened(monkeypatch, tmp_path, FakeHandle((801, 400, 1600, 1200))).level_is_exact == (True, False)


@pytest.mark.parametrize("bounds", [(), (10, 10), (5, 5, 0, 10), ("a", 0, 10, 10)])
def test_incomplete_bounds_are_ignored(monkeypatch, tmp_path, bounds):
    slide = opened(monkeypatch, tmp_path, FakeHandle(bounds))
    assert (slide.width, slide.height) == (4000, 3000)


@pytest.mark.parametrize(
    ("colour", "expected"), [(None, (255, 255, 255)), ("F0E0D0", (240, 224, 208)), ("?", (255, 255, 255))]
)
def test_transparent_pixels_show_the_background(monkeypatch, tmp_path, colour, expected):
    properties = {} if colour is None else {"openslide.background-color": colour}
    slide = opened(monkeypatch, tmp_path, FakeHandle((), **properties))
    assert tuple(slide.read(0, 0, 4, 4)[0, 0]) == expected
    assert tuple(slide.read(2000, 0, 4, 4)[0, 0]) == (100, 50, 0)


def test_pixel_sizes_come_from_mpp(monkeypatch, tmp_path):
    sizes = {"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.27"}
    slide = opened(monkeypatch, tmp_path, FakeHandle((), **sizes))
    assert (slide.pixel_size_x_um, slide.pixel_size_y_um) == (0.25, 0.27)
    assert slide.pixel_size_um == pytest.approx(0.26)


def test_closing_twice_is_harmless(monkeypatch, tmp_path):
    slide = opened(monkeypatch, tmp_path, FakeHandle(()))
    slide.close()
    slide.close()


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [("1000", "-2000", (1000.0, -2000.0)), ("nan", "1", None), ("a", "1", None), (None, "1", None)],
)
def test_the_place_on_the_glass_is_hamamatsus(monkeypatch, tmp_path, x, y, expected):
    stated = {"hamamatsu.XOffsetFromSlideCentre": x, "hamamatsu.YOffsetFromSlideCentre": y}
    properties = {name: value for name, value in stated.items() if value is not None}
    assert opened(monkeypatch, tmp_path, FakeHandle((), **properties)).scan_offset_nm == expected
