from __future__ import annotations

import cv2
import numpy as np
import pytest
import tifffile

from qupath_her2.errors import ImageReadError
from qupath_her2.slides.readers.bit_depth import in_8_bits, used_bits
from qupath_her2.slides.readers.slide import open_slide

SHAPE = (96, 128)


def eight_bit():
    pixels = np.random.default_rng(4).integers(20, 240, (*SHAPE, 3), dtype=np.uint8)
    # Glass, near the top of the range.
    pixels[:20] = 247
    return pixels


def deep(bits):
    """The same picture from a camera of so many bits: each step of 8 bits is 2^(bits - 8) of it, plus noise below."""
    step = 2 ** (bits - 8)
    noise = np.random.default_rng(5).integers(0, step, (*SHAPE, 3))
    return (eight_bit().astype(np.int64) * step + noise).astype(np.uint16)


def opened(path):
    with open_slide(path) as slide:
        return slide.read(0, 0, *SHAPE[::-1]), slide.notes


@pytest.mark.parametrize("tile", [None, (32, 32)], ids=["flat", "tiled"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_undeclared_depths_are_read_by_the_brightest_value_and_said(tmp_path, bits, byteorder, tile):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, deep(bits), photometric="rgb", tile=tile, byteorder=byteorder)
    pixels, notes = opened(path)
    np.testing.assert_array_equal(pixels, eight_bit())
    assert len(notes) == (bits < 16)
    assert all(f"read as a {bits}-bit image" in note for note in notes)


@pytest.mark.parametrize("tag", [(341, "SMaxSampleValue"), (281, "MaxSampleValue")], ids=lambda tag: tag[1])
def test_a_declared_depth_is_believed_without_a_note(tmp_path, tag):
    dark = deep(12) // 4
    path = tmp_path / "a.tif"
    tags = [(tag[0], "H", 3, (4095, 4095, 4095), True)]
    tifffile.imwrite(path, dark, photometric="rgb", extratags=tags)
    pixels, notes = opened(path)
    # By its brightest value alone this picture of a dim lamp would be one of 10 bits.
    np.testing.assert_array_equal(pixels, (dark >> 4).astype(np.uint8))
    assert notes == ()


@pytest.mark.parametrize(("said", "read_as"), [("12", 12), ("16", 10), ("9", 10), ("many", 10)])
def test_significant_bits_of_ome_are_believed_where_they_can_be_true(tmp_path, said, read_as):
    values = deep(10)
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, values, photometric="rgb", metadata={"axes": "YXS", "SignificantBits": 12})
    data = path.read_bytes()
    xml = tifffile.tiffcomment(path)
    assert 'SignificantBits="12"' in xml or "SignificantBits" not in xml
    changed = xml.replace(' SignificantBits="12"', "").replace(
        'Type="uint16"', f'Type="uint16" SignificantBits="{said}"'
    )
    path.write_bytes(data)
    tifffile.tiffcomment(path, changed.encode())
    pixels, notes = opened(path)
    np.testing.assert_array_equal(pixels, (values >> (read_as - 8)).astype(np.uint8))
    assert bool(notes) == (said != "12")


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_of_sixteen_bits_keeps_what_it_holds(tmp_path, bits, channels):
    values = deep(bits)
    if channels == 1:
        values = values[..., :1]
    elif channels == 4:
        values = np.dstack([values, np.full(SHAPE, 65535 if bits == 16 else 4095, np.uint16)])
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    path = tmp_path / "a.png"
    assert cv2.imwrite(str(path), values[..., order])
    pixels, notes = opened(path)
    expected = eight_bit() if channels > 1 else np.repeat(eight_bit()[..., :1], 3, axis=2)
    np.testing.assert_array_equal(pixels, expected)
    assert len(notes) == (bits == 12)


@pytest.mark.parametrize("dtype", ["int16", "uint32", "int32", "float32", "float64"])
@pytest.mark.parametrize("tile", [None, (32, 32)], ids=["flat", "tiled"])
def test_other_kinds_of_numbers_are_refused_with_the_reason(tmp_path, dtype, tile):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, (eight_bit() / 255).astype(dtype), photometric="rgb", tile=tile)
    with pytest.raises(ImageReadError, match=f"its pixels are {dtype}, which have no defined white"):
        open_slide(path)


def test_the_brightest_value_decides_between_usual_depths():
    assert [used_bits(value, None)[0] for value in (0, 255, 256, 1023, 1024, 4095, 4096, 16383, 16384)] == [
        8, 8, 10, 10, 12, 12, 14, 14, 16,
    ]  # fmt: skip
    assert used_bits(4000, 14) == (14, None)
    assert used_bits(9000, 12)[0] == 14


def test_values_beyond_the_used_bits_become_white():
    np.testing.assert_array_equal(
        in_8_bits(np.array([0, 16, 4095, 4096, 65535], np.uint16), 12), [0, 1, 255, 255, 255]
    )
