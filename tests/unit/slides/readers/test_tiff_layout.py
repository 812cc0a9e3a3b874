"""TIFF pyramid layout: which pages are levels, and where their tiles lie in the file."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from qupath_her2.errors import ImageReadError
from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.readers.tiff_layout import describe_levels


def levels_of(path):
    with tifffile.TiffFile(path) as tiff:
        return describe_levels(tiff, path.stat().st_size)


def test_reduced_pages_of_the_same_aspect_ratio_are_levels_and_others_are_not(tmp_path):
    path = tmp_path / "p.tif"
    options = {"tile": (64, 64), "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.zeros((200, 300, 3), np.uint8), **options)
        writer.write(np.zeros((50, 75, 3), np.uint8), subfiletype=1, **options)
        writer.write(np.zeros((100, 150, 3), np.uint8), subfiletype=1, **options)
        # A label: reduced, but of another aspect ratio. A second image: right aspect ratio, but not reduced.
        writer.write(np.zeros((80, 80, 3), np.uint8), subfiletype=1, **options)
        writer.write(np.zeros((100, 150, 3), np.uint8), **options)
    found = levels_of(path)
    assert [(level.width, level.height) for level in found] == [(300, 200), (150, 100), (75, 50)]
    assert [level.tiles_across for level in found] == [5, 3, 2]
    assert [len(level.offsets) for level in found] == [5 * 4, 3 * 2, 2]


def test_an_uncompressed_strip_is_read_in_blocks_of_rows(tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (150, 40, 3), dtype=np.uint8)
    path = tmp_path / "one_strip.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", rowsperstrip=150)
    (level,) = levels_of(path)
    assert (level.tile_width, level.tile_height) == (40, 64)
    assert level.byte_counts == (64 * 40 * 3, 64 * 40 * 3, 22 * 40 * 3)
    data = path.read_bytes()
    rows = [
        level.decode(data[start : start + count], index)
        for index, (start, count) in enumerate(zip(level.offsets, level.byte_counts, strict=True))
    ]
    np.testing.assert_array_equal(np.concatenate(rows)[:150], pixels)
    assert (rows[-1][22:] == 255).all(), "the last block is padded with white"


@pytest.mark.parametrize(
    ("pixels", "options", "found"),
    [
        (np.zeros((64, 64, 3), np.uint16), {"photometric": "rgb"}, "16 bits per sample"),
        (np.zeros((3, 64, 64), np.uint8), {"photometric": "rgb", "planarconfig": "separate"}, "planes"),
        (np.zeros((64, 64, 4), np.uint8), {"photometric": "separated"}, "4 samples"),
    ],
)
def test_unsupported_layouts_are_named(tmp_path, pixels, options, found):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, pixels, tile=(16, 16), **options)
    with pytest.raises(ValueError, match=rf"{found}.*not supported by the fast reader"):
        levels_of(path)


@pytest.mark.parametrize(("photometric", "n_pages"), [("minisblack", 3), ("rgb", 1), ("minisblack", 1)])
def test_fluorescence_channels_of_a_qptiff_are_refused(tmp_path, photometric, n_pages):
    path = tmp_path / "a.qptiff"
    shape = (256, 512, 3) if photometric == "rgb" else (256, 512)
    options = {"software": "PerkinElmer-QPI", "metadata": None, "photometric": photometric}
    with tifffile.TiffWriter(path) as writer:
        for _ in range(n_pages):
            writer.write(np.zeros(shape, np.uint8), tile=(256, 256), **options)
        writer.write(np.zeros((64, 64), np.uint8), software="PerkinElmer-QPI", metadata=None)
    if n_pages == 1:
        assert (levels_of(path)[0].width, levels_of(path)[0].height) == (512, 256)
        return
    with pytest.raises(ImageReadError, match=r"fluorescence scan of 3 channels.*in brightfield"):
        open_slide(path)
