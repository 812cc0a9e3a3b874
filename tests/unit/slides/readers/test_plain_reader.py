from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from qupath_her2.errors import ImageReadError
from qupath_her2.slides.readers.plain_reader import PlainSlide, to_rgb8
from qupath_her2.slides.readers.slide import open_slide

SHAPE = (60, 90)


def rgb(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


def read(path):
    with open_slide(path) as slide:
        assert (slide.width, slide.height) == SHAPE[::-1]
        return slide.read(0, 0, slide.width, slide.height)


def over_white(colour, alpha):
    a = alpha.astype(np.float64)[..., None] / 255
    return colour * a + 255 * (1 - a)


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = rgb()[..., 0]
    for suffix in ("png", "bmp", "tif"):
        Image.fromarray(grey).save(tmp_path / f"g.{suffix}")
        np.testing.assert_array_equal(read(tmp_path / f"g.{suffix}"), np.repeat(grey[..., None], 3, 2))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_transparency_shows_white(tmp_path, suffix):
    colour, alpha = rgb(), rgb(1)[..., 0]
    alpha[0], alpha[1] = 0, 255
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.dstack([colour, alpha])).save(path)
    pixels = read(path)
    np.testing.assert_allclose(pixels, over_white(colour, alpha), atol=0.51)
    assert (pixels[0] == 255).all()
    np.testing.assert_array_equal(pixels[1], colour[1])


def test_sixteen_bits_keep_the_high_byte(tmp_path):
    deep = np.random.default_rng(2).integers(0, 65536, (*SHAPE, 3), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "c.tif", deep, photometric="rgb")
    np.testing.assert_array_equal(read(tmp_path / "c.tif"), deep >> 8)
    Image.fromarray(deep[..., 0]).save(tmp_path / "g.png")
    np.testing.assert_array_equal(read(tmp_path / "g.png")[..., 1], deep[..., 0] >> 8)


def test_palettes_become_their_colours(tmp_path):
    index = rgb()[..., 0] % 7
    colours = np.random.default_rng(3).integers(0, 256, (256, 3), dtype=np.uint8)
    image = Image.new("P", SHAPE[::-1])
    image.putdata(index.ravel().tolist())
    image.putpalette(colours.tobytes())
    for suffix in ("png", "tif"):
        image.save(tmp_path / f"p.{suffix}")
        np.testing.assert_array_equal(read(tmp_path / f"p.{suffix}"), colours[index])


def test_cmyk_is_ink_taken_from_white(tmp_path):
    ink = np.random.default_rng(5).integers(0, 200, (*SHAPE, 4), dtype=np.uint8)
    expected = 255 - np.minimum(ink[..., :3].astype(int) + ink[..., 3:], 255)
    tifffile.imwrite(tmp_path / "k.tif", ink, photometric="separated")
    np.testing.assert_array_equal(read(tmp_path / "k.tif"), expected)


def test_cmyk_jpeg_is_not_inverted(tmp_path):
    flat = np.zeros((*SHAPE, 4), np.uint8)
    flat[..., 1], flat[..., 3] = 180, 20
    Image.frombytes("CMYK", SHAPE[::-1], flat.tobytes()).save(tmp_path / "k.jpg", quality=95)
    np.testing.assert_allclose(read(tmp_path / "k.jpg").mean((0, 1)), (235, 55, 235), atol=4)


def test_one_bit_images_are_black_and_white(tmp_path):
    bits = rgb()[..., 0] > 128
    Image.fromarray(bits).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read(tmp_path / "b.png")[..., 0], bits * 255)
    for photometric, expected in (("minisblack", bits), ("miniswhite", ~bits)):
        tifffile.imwrite(tmp_path / "b.tif", bits, photometric=photometric)
        np.testing.assert_array_equal(read(tmp_path / "b.tif")[..., 2], expected * 255)


def test_separate_colour_planes_are_combined(tmp_path):
    planes = np.moveaxis(rgb(), -1, 0)
    tifffile.imwrite(tmp_path / "p.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read(tmp_path / "p.tif"), rgb())


def test_exif_orientation_is_ignored_as_in_qupath(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgb()).save(tmp_path / "o.jpg", exif=exif, quality=95)
    assert read(tmp_path / "o.jpg").shape == (*SHAPE, 3)


def test_print_resolutions_are_not_pixel_sizes(tmp_path):
    Image.fromarray(rgb()).save(tmp_path / "d.png", dpi=(100_000, 100_000))
    Image.fromarray(rgb()).save(tmp_path / "d.jpg", dpi=(50_000, 50_000))
    for name in ("d.png", "d.jpg"):
        with open_slide(tmp_path / name) as slide:
            assert slide.pixel_size_um is None


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (np.zeros((*SHAPE, 3), np.float32), {"photometric": "rgb"}, "no defined white.*Save a single plane"),
        (
            np.zeros((5, *SHAPE), np.uint8),
            {"photometric": "minisblack"},
            "stack of 5 pages of equal size.*--plane",
        ),
        (np.zeros(SHAPE, np.int16), {"photometric": "minisblack"}, "no defined white.*Save a single plane"),
    ],
)
def test_pixels_without_an_unambiguous_rgb_form_are_refused(tmp_path, pixels, options, message):
    tifffile.imwrite(tmp_path / "x.tif", pixels, **options)
    with pytest.raises(ImageReadError, match=message):
        PlainSlide(tmp_path / "x.tif")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_a_giant_flat_image_is_refused_before_decoding(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(rgb()).save(path)
    with pytest.raises(ImageReadError, match=r"90 × 60 px in one piece.*over the limit.*OME TIFF"):
        PlainSlide(path, max_pixels=5000)


def test_other_channel_counts_are_refused():
    with pytest.raises(ValueError, match="5 channels"):
        to_rgb8(np.zeros((4, 4, 5), np.uint8))


def test_a_compression_without_a_decoder_is_named(tmp_path, monkeypatch):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, rgb(), photometric="rgb", compression="zstd")

    def decode(*_, **__):
        raise ImportError("could not import name 'zstd_decode' from 'imagecodecs'")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", decode)
    with pytest.raises(
        ImageReadError, match=r"no decoder for its compression.*zstd.*Export it again, compressed"
    ):
        PlainSlide(path)
