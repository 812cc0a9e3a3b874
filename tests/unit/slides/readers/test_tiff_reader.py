from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

from qupath_her2.slides.readers.slide import open_slide
from qupath_her2.slides.readers.tiff_reader import TiffSlide, _TileCache


def test_a_supertile_decodes_each_file_tile_once(tmp_path, drawn, monkeypatch):
    path = drawn.write_pyramid(tmp_path / "p.tif", 1500, 1100, drawn.JPEG_KINDS["ycbcr-420"], steps=(1,))
    with TiffSlide(path) as slide:
        read: Counter[int] = Counter()
        original = slide._file.read

        def counting(offset, count):
            read[offset] += 1
            return original(offset, count)

        monkeypatch.setattr(slide._file, "read", counting)
        slide.read(100, 50, 1200, 900)
        assert len(read) == 6 * 4
        assert set(read.values()) == {1}
        # The next patch finds the tiles that the first one cut through.
        slide.read(1300, 50, 200, 900)
        assert set(read.values()) == {1}


def test_the_cache_is_bounded():
    cache = _TileCache(3 * 1000)
    tiles = [np.full(1000, n, np.uint8) for n in range(5)]
    for n in range(3):
        cache.put((0, n), tiles[n])
    cache.get((0, 0))
    cache.put((0, 3), tiles[3])
    assert cache.get((0, 1)) is None
    assert [n for n in range(5) if cache.get((0, n)) is not None] == [0, 2, 3]
    cache.put((0, 4), np.zeros(9999, np.uint8))
    assert cache.get((0, 4)) is None


def test_missing_tiles_are_white(tmp_path, drawn):
    path = drawn.write_pyramid(tmp_path / "p.tif", 600, 300, drawn.JPEG_KINDS["rgb"], steps=(1,))
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        counts = list(tiff.pages[0].databytecounts)
        counts[0] = 0
        tiff.pages[0].tags["TileByteCounts"].overwrite(counts)
    with open_slide(path) as auto, TiffSlide(path) as slide:
        assert slide.has_missing_tiles
        assert (slide.read(0, 0, 256, 256) == 255).all()
        np.testing.assert_array_equal(auto.read(0, 0, 500, 300), slide.read(0, 0, 500, 300))


def test_grey_jpeg_tiles_become_three_channels(tmp_path, drawn):
    grey = drawn.drawn(500, 400)[..., 0]
    tifffile.imwrite(tmp_path / "g.tif", grey, tile=(128, 128), compression="zlib", photometric="minisblack")
    with TiffSlide(tmp_path / "g.tif") as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 500, 400), np.repeat(grey[..., None], 3, axis=2))


REAL = os.environ.get("QUPATH_HER2_REAL_DATA")


@pytest.mark.real_data
@pytest.mark.skipif(not REAL, reason="QUPATH_HER2_REAL_DATA is not set")
def test_a_real_svs_gives_openslides_pixels():
    path = next(Path(REAL).rglob("*.svs"))
    rng = np.random.default_rng(0)
    with open_slide(path) as slide, openslide.OpenSlide(path) as handle:
        assert slide.reader == "tiff"
        assert slide.level_dimensions == handle.level_dimensions
        assert slide.pixel_size_um == pytest.approx(float(handle.properties["openslide.mpp-x"]))
        whole = np.asarray(handle.read_region((0, 0), 0, handle.dimensions).convert("RGB"))
        np.testing.assert_array_equal(slide.read(0, 0, slide.width, slide.height), whole)
        for _ in range(50):
            w, h = (int(v) for v in rng.integers(1, 600, 2))
            x, y = int(rng.integers(0, slide.width - w)), int(rng.integers(0, slide.height - h))
            np.testing.assert_array_equal(slide.read(x, y, w, h), whole[y : y + h, x : x + w])
