from __future__ import annotations

import numpy as np
import pytest
import tifffile

from qupath_her2.slides.readers.slide import open_slide

IMAGE = np.zeros((300, 400, 3), np.uint8)
TILED = {"photometric": "rgb", "tile": (128, 128)}


@pytest.mark.parametrize(
    ("unit", "resolution", "expected"),
    [
        ("CENTIMETER", (20_000, 40_000), (0.5, 0.25)),
        ("INCH", (101_600, 101_600), (0.25, 0.25)),
        ("INCH", (72, 72), (None, None)),
        ("INCH", (300, 300), (None, None)),
        ("CENTIMETER", (118, 118), (None, None)),
        ("INCH", (25_400, 25_400), (1.0, 1.0)),
        ("INCH", (0, 0), (None, None)),
        ("NONE", (20_000, 20_000), (None, None)),
    ],
)
@pytest.mark.parametrize("reader", ["tiff", "openslide", "plain"])
def test_resolution_tags_count_in_cm_and_inches(tmp_path, reader, unit, resolution, expected):
    path = tmp_path / "r.tif"
    tifffile.imwrite(path, IMAGE, resolution=resolution, resolutionunit=unit, metadata=None, **TILED)
    with open_slide(path, reader) as slide:
        assert (slide.pixel_size_x_um, slide.pixel_size_y_um) == pytest.approx(expected)
        mean = None if expected[0] is None else sum(expected) / 2
        assert slide.pixel_size_um == pytest.approx(mean)


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [(0.25, "µm", 0.25), (250, "nm", 0.25), (0.0005, "mm", 0.5), (1, "pixel", None), (0, "µm", None)],
)
def test_ome_physical_size_is_converted_by_its_unit(tmp_path, size, unit, expected):
    path = tmp_path / "o.ome.tif"
    physical = {f"PhysicalSize{axis}": size for axis in "XY"}
    physical |= {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    tifffile.imwrite(path, IMAGE, metadata={"axes": "YXS", **physical}, **TILED)
    with open_slide(path, "tiff") as slide:
        assert slide.pixel_size_um == pytest.approx(expected)


@pytest.mark.parametrize(
    ("mpp", "expected"), [("0.2527", 0.2527), ("0,2527", 0.2527), ("0", None), ("nan", None), ("", None)]
)
def test_aperio_states_mpp_in_its_description(tmp_path, mpp, expected):
    path = tmp_path / "a.svs"
    text = f"Aperio Image Library v1\n400x300 (128x128) Q=70|AppMag = 40|MPP = {mpp}|Left = 2"
    tifffile.imwrite(path, IMAGE, description=text, metadata=None, compression="jpeg", **TILED)
    for reader in ("auto", "tiff", "openslide"):
        with open_slide(path, reader) as slide:
            assert slide.pixel_size_um == pytest.approx(expected), reader


@pytest.mark.parametrize(
    ("unit", "per_unit", "expected"),
    [
        ("micron", 2, 0.5),
        ("um", 4, 0.25),
        ("\\u00B5m", 2, 0.5),
        ("nm", 0.004, 0.25),
        ("mm", 2000, 0.5),
        ("pixel", 2, None),
    ],
)
@pytest.mark.parametrize("reader", ["auto", "tiff", "plain"])
def test_imagej_counts_pixels_in_the_unit_of_its_description(tmp_path, reader, unit, per_unit, expected):
    path = tmp_path / "ij.tif"
    tifffile.imwrite(path, IMAGE, imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit})
    with open_slide(path, reader) as slide:
        assert slide.pixel_size_um == (None if expected is None else pytest.approx(expected, rel=1e-3))


def test_damaged_tile_tables_never_reach_openslide(tmp_path):
    path = tmp_path / "d.tif"
    tifffile.imwrite(path, IMAGE, metadata=None, **TILED)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags["TileLength"].overwrite(2**30)
    for reader in ("auto", "openslide", "tiff"):
        with pytest.raises(OSError, match="1073741824 px"):
            open_slide(path, reader)
