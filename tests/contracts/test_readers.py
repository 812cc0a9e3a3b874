"""Contract of the readers, tested on drawn images whose pixels are a formula of x, y and channel."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from qupath_her2.errors import ImageReadError
from qupath_her2.slides.readers.slide import Slide, open_slide, read_scaled

_spec = importlib.util.spec_from_file_location(
    "drawn", Path(__file__).parents[1] / "unit" / "slides" / "drawn.py"
)
drawn = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(drawn)

WIDTH, HEIGHT = 700, 500


def _tiled(path: Path) -> Path:
    return drawn.write_pyramid(path.with_suffix(".tif"), WIDTH, HEIGHT, drawn.LOSSLESS_KINDS["raw"])


def _deflate(path: Path) -> Path:
    return drawn.write_pyramid(path.with_suffix(".tif"), WIDTH, HEIGHT, drawn.LOSSLESS_KINDS["deflate"])


def _lzw(path: Path) -> Path:
    return drawn.write_pyramid(path.with_suffix(".tif"), WIDTH, HEIGHT, drawn.LOSSLESS_KINDS["lzw"])


def _strips(path: Path) -> Path:
    path = path.with_suffix(".tif")
    tifffile.imwrite(path, drawn.drawn(WIDTH, HEIGHT), photometric="rgb", rowsperstrip=37, compression="lzw")
    return path


def _one_strip(path: Path) -> Path:
    path = path.with_suffix(".tif")
    tifffile.imwrite(path, drawn.drawn(WIDTH, HEIGHT), photometric="rgb")
    return path


def _ome(path: Path) -> Path:
    path = path.with_suffix(".ome.tif")
    with tifffile.TiffWriter(path, ome=True) as writer:
        options = {"photometric": "rgb", "tile": (128, 128)}
        writer.write(drawn.drawn(WIDTH, HEIGHT), subifds=2, metadata={"axes": "YXS"}, **options)
        for step in (2, 4):
            writer.write(drawn.drawn(WIDTH // step, HEIGHT // step, step), subfiletype=1, **options)
    return path


def _png(path: Path) -> Path:
    path = path.with_suffix(".png")
    Image.fromarray(drawn.drawn(WIDTH, HEIGHT)).save(path)
    return path


def _bmp(path: Path) -> Path:
    path = path.with_suffix(".bmp")
    Image.fromarray(drawn.drawn(WIDTH, HEIGHT)).save(path)
    return path


CASES = {
    "openslide-tiled": (_tiled, "openslide"),
    "tiff-tiled": (_tiled, "tiff"),
    "tiff-deflate": (_deflate, "tiff"),
    "tiff-lzw": (_lzw, "tiff"),
    "tiff-strips": (_strips, "tiff"),
    "tiff-one-strip": (_one_strip, "tiff"),
    "tiff-ome-subifds": (_ome, "tiff"),
    "plain-png": (_png, "plain"),
    "plain-bmp": (_bmp, "plain"),
    "plain-tiff": (_one_strip, "plain"),
    "auto-tiled": (_tiled, "auto"),
    "auto-ome": (_ome, "auto"),
    "auto-png": (_png, "auto"),
}


@pytest.fixture(scope="module", params=CASES)
def slide(request, tmp_path_factory):
    make, reader = CASES[request.param]
    with open_slide(make(tmp_path_factory.mktemp("contract") / "größe 'x' 1"), reader) as opened:
        yield opened


def test_a_reader_is_a_slide(slide):
    assert isinstance(slide, Slide)
    assert (slide.width, slide.height) == (WIDTH, HEIGHT) == slide.level_dimensions[0]
    assert len(slide.level_dimensions) == len(slide.level_downsamples) == len(slide.level_is_exact)
    assert slide.level_downsamples == tuple(2.0**i for i in range(len(slide.level_dimensions)))
    assert all(slide.level_is_exact)
    assert slide.reader in ("openslide", "tiff", "plain")


@given(
    x=st.integers(-300, WIDTH + 50),
    y=st.integers(-300, HEIGHT + 50),
    w=st.integers(1, 400),
    h=st.integers(1, 400),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_window_holds_the_formula_and_white_outside(slide, x, y, w, h):
    pixels = slide.read(x, y, w, h)
    assert pixels.shape == (h, w, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, drawn.window(WIDTH, HEIGHT, x, y, w, h))


def test_levels_are_addressed_in_level_0_pixels(slide):
    for level, step in enumerate(int(d) for d in slide.level_downsamples):
        x, y = 30 * step, -10 * step
        expected = drawn.window(WIDTH // step, HEIGHT // step, 30, -10, 200, 150, step)
        np.testing.assert_array_equal(slide.read(x, y, 200, 150, level), expected)


def test_the_nearest_level_pixel_is_taken(slide):
    level = len(slide.level_downsamples) - 1
    step = int(slide.level_downsamples[level])
    nearest = slide.read(40 * step, 40 * step, 20, 20, level)
    np.testing.assert_array_equal(slide.read(40 * step + (step - 1) // 2, 40 * step, 20, 20, level), nearest)


def test_the_result_belongs_to_the_caller(slide):
    first = slide.read(0, 0, 64, 64)
    first[:] = 0
    np.testing.assert_array_equal(slide.read(0, 0, 64, 64), drawn.window(WIDTH, HEIGHT, 0, 0, 64, 64))


def test_reads_in_threads_are_the_same(slide):
    rng = np.random.default_rng(5)
    corners = [(int(x), int(y)) for x, y in rng.integers(-50, 450, (60, 2))]
    with ThreadPoolExecutor(4) as pool:
        tiles = list(pool.map(lambda c: slide.read(*c, 130, 130), corners))
    for (x, y), tile in zip(corners, tiles, strict=True):
        np.testing.assert_array_equal(tile, drawn.window(WIDTH, HEIGHT, x, y, 130, 130))


@pytest.mark.parametrize("bad", [(0, 0, 0, 5, 0), (0, 0, 5, -1, 0), (0, 0, 5, 5, 9), (0, 0, 5, 5, -1)])
def test_windows_that_do_not_exist_are_refused(slide, bad):
    with pytest.raises(ImageReadError, match="window of level"):
        slide.read(*bad)


@pytest.mark.parametrize("name", CASES)
def test_a_closed_slide_says_so(name, tmp_path):
    make, reader = CASES[name]
    opened = open_slide(make(tmp_path / "a"), reader)
    opened.close()
    with pytest.raises(ImageReadError, match="closed"):
        opened.read(0, 0, 4, 4)
    opened.close()


def _openslide_pixels(handle, location, level, size):
    rgba = handle.read_region(location, level, size)
    white = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))


@pytest.mark.parametrize("kind", drawn.JPEG_KINDS)
@pytest.mark.parametrize("tile", [256, 240])
def test_the_fast_reader_is_bit_identical_to_openslide(kind, tile, tmp_path):
    path = drawn.write_pyramid(tmp_path / "p.tif", 1000, 760, drawn.JPEG_KINDS[kind], tile=tile)
    handle = openslide.OpenSlide(path)
    with open_slide(path) as fast:
        assert fast.reader == "tiff"
        assert fast.level_dimensions == handle.level_dimensions
        for level, step in enumerate((1, 2, 4)):
            for x, y, w, h in ((0, 0, tile, tile), (13, 7, 220, 180), (tile - 1, 1, 3, 90), (0, 0, 250, 190)):
                theirs = _openslide_pixels(handle, (x * step, y * step), level, (w, h))
                np.testing.assert_array_equal(fast.read(x * step, y * step, w, h, level), theirs)
    handle.close()


def test_levels_that_openslide_interpolates_are_read_through_openslide(tmp_path):
    # 1003 // 4 = 250: OpenSlide's downsample is 4.01, so its pixels lie between those of the file.
    path = drawn.write_pyramid(tmp_path / "p.tif", 1003, 761, drawn.JPEG_KINDS["ycbcr-420"], steps=(1, 4))
    with open_slide(path) as fast, open_slide(path, "openslide") as slow:
        assert (fast.reader, slow.reader) == ("tiff", "openslide")
        assert fast.level_downsamples == slow.level_downsamples == (1.0, 4.0)
        assert fast.level_is_exact == slow.level_is_exact == (True, False)
        for x in (0, 400, 401):
            np.testing.assert_array_equal(fast.read(x, 60, 90, 80, 1), slow.read(x, 60, 90, 80, 1))


@pytest.mark.parametrize("downsample", [1, 1.125, 1.375, 2, 2.5, 3, 4, 4.875, 8])
def test_scaled_windows_agree_where_they_overlap(slide, downsample):
    shift = int(8 * downsample)
    whole = read_scaled(slide, -2 * shift, -shift, 67, 53, downsample)
    assert whole.shape == (53, 67, 3)
    for i, j in ((1, 1), (3, 2), (2, 0)):
        part = read_scaled(slide, (i - 2) * shift, (j - 1) * shift, 67 - 8 * i, 53 - 8 * j, downsample)
        np.testing.assert_array_equal(part, whole[8 * j :, 8 * i :])


def test_scaled_pixels_are_the_mean_of_what_they_cover(slide):
    # Odd origin: no pyramid level may stand in.
    source = drawn.window(WIDTH, HEIGHT, 33, 21, 120, 90).astype(np.float64)
    mean = source.reshape(30, 3, 40, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(read_scaled(slide, 33, 21, 40, 30, 3), mean, atol=0.51)


def test_an_aligned_request_comes_from_the_pyramid():
    class Recorder:
        level_downsamples = (1.0, 4.0, 16.0)
        level_is_exact = (True, True, False)

        def read(self, x, y, width, height, level=0):
            self.level = level
            return np.zeros((height, width, 3), np.uint8)

    recorder = Recorder()
    for request, level in {(0, 0, 8): 1, (4, 8, 4): 1, (2, 0, 8): 0, (0, 0, 6): 0, (0, 0, 16): 1}.items():
        assert read_scaled(recorder, request[0], request[1], 5, 5, request[2]).shape == (5, 5, 3)
        assert recorder.level == level, request
