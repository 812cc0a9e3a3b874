from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from qupath_her2.errors import ImageReadError, SettingsError
from qupath_her2.slides.readers import slide as slide_module
from qupath_her2.slides.readers.slide import open_slide, read_scaled


def save(path: Path, **options) -> Path:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path, **options)
    return path


def test_errors_of_bad_files_name_the_file_and_the_reason(tmp_path):
    (tmp_path / "empty.svs").touch()
    (tmp_path / "text.png").write_text("patient,score\n1,2+\n")
    cases = {
        "missing 'one'.tif": "does not exist",
        "empty.svs": "empty",
        "text.png": "not those of a known image format",
        ".": "folder",
    }
    for name, why in cases.items():
        with pytest.raises(ImageReadError, match=why) as caught:
            open_slide(tmp_path / name)
        assert (tmp_path / name).name in str(caught.value)


def test_unknown_readers_are_named(tmp_path):
    with pytest.raises(SettingsError, match="openslide, tiff, plain"):
        open_slide(save(tmp_path / "a.png"), "bioformats")


@pytest.mark.parametrize("reader", ["openslide", "tiff"])
def test_a_reader_that_does_not_know_the_format_says_so(tmp_path, reader):
    with pytest.raises(ImageReadError, match=r"a\.png"):
        open_slide(save(tmp_path / "a.png"), reader)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif"])
@pytest.mark.parametrize("share", [0.0005, 0.1, 0.5, 0.97])
def test_truncated_files_are_refused(tmp_path, kind, share):
    path = save(tmp_path / f"a.{kind}")
    data = path.read_bytes()
    path.write_bytes(data[: max(1, int(share * len(data)))])
    with pytest.raises(ImageReadError, match="cannot be read"), open_slide(path) as slide:
        slide.read(0, 0, 50, 40)


def test_a_truncated_pyramid_says_where_it_ends(tmp_path, drawn):
    path = drawn.write_pyramid(tmp_path / "p.tif", 900, 700, drawn.JPEG_KINDS["ycbcr-420"], steps=(1,))
    with tifffile.TiffFile(path) as tiff:
        end = max(np.add(tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts))
    size = path.stat().st_size
    assert end == size, "tiles come last in this file"
    os.truncate(path, size - 2000)
    with pytest.raises(ImageReadError, match=f"truncated: tile 11 of 12 ends at byte {size}"):
        open_slide(path)


def test_a_file_is_compared_with_openslide_once_and_again_when_it_changes(tmp_path, drawn, monkeypatch):
    opened = []

    class Counted(slide_module.OpenSlideSlide):
        def __init__(self, path):
            opened.append(path)
            super().__init__(path)

    monkeypatch.setattr(slide_module, "OpenSlideSlide", Counted)
    path = drawn.write_pyramid(tmp_path / "p.tif", 900, 700, drawn.JPEG_KINDS["ycbcr-420"], steps=(1,))
    for _ in range(2):
        with open_slide(path) as slide:
            assert slide.reader == "tiff"
    assert opened == [path]
    os.utime(path, ns=(1, 1))
    open_slide(path).close()
    assert opened == [path, path]


def test_a_damaged_tile_affects_only_windows_that_need_it(tmp_path, drawn):
    path = drawn.write_pyramid(tmp_path / "p.tif", 900, 700, drawn.JPEG_KINDS["ycbcr-420"], steps=(1,))
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[1]
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"\0" * 200)
    with open_slide(path, "tiff") as slide:
        assert slide.read(0, 0, 250, 250).shape == (250, 250, 3)
        with pytest.raises(ImageReadError, match="tile 1 of level 0 is damaged"):
            slide.read(200, 0, 250, 250)


@pytest.mark.parametrize("reader", ["auto", "openslide", "tiff"])
def test_a_file_that_vanishes_or_shrinks_never_tracebacks(tmp_path, drawn, reader):
    path = drawn.write_pyramid(tmp_path / "p.tif", 900, 700, drawn.JPEG_KINDS["rgb"], steps=(1,))
    with open_slide(path, reader) as slide:
        before = slide.read(0, 0, 200, 200)
        os.truncate(path, 500)
        with pytest.raises(ImageReadError, match=r"p\.tif"):
            slide.read(520, 300, 300, 300)
    path = drawn.write_pyramid(tmp_path / "q.tif", 900, 700, drawn.JPEG_KINDS["rgb"], steps=(1,))
    with open_slide(path, reader) as slide:
        try:
            path.unlink()
            np.testing.assert_array_equal(slide.read(0, 0, 200, 200), before)
        except (ImageReadError, PermissionError):
            # Windows refuses to remove open files, and OpenSlide opens the file anew for each tile.
            assert os.name == "nt" or slide.reader == "openslide"


def _samples() -> dict[str, bytes]:
    """Small valid files of each kind, as bytes."""
    found = {}
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    for kind in ("png", "jpeg", "bmp", "tiff"):
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, kind)
        found[kind] = stream.getvalue()
    stream = io.BytesIO()
    tifffile.imwrite(stream, image, photometric="rgb", compression="jpeg", tile=(16, 16))
    found["jpeg tiff"] = stream.getvalue()
    stream = io.BytesIO()
    tifffile.imwrite(stream, image.astype(np.uint16), photometric="rgb", compression="zlib", predictor=True)
    found["deep tiff"] = stream.getvalue()
    return found


SAMPLES = _samples()


@given(data=st.data(), kind=st.sampled_from(sorted(SAMPLES)))
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_only_raise_image_read_errors(tmp_path, data, kind):
    content = bytearray(SAMPLES[kind])
    # Headers decide most: half of the damage falls on the first 100 bytes.
    position = st.integers(0, len(content) - 1) | st.integers(0, min(99, len(content) - 1))
    for at, byte in data.draw(st.lists(st.tuples(position, st.integers(0, 255)), max_size=6)):
        content[at] = byte
    end = data.draw(st.none() | st.integers(0, len(content)))
    path = tmp_path / "fuzzed.img"
    path.write_bytes(bytes(content[:end]))
    # Anything but ImageReadError fails the test.
    with suppress(ImageReadError), open_slide(path) as slide:
        assert slide.read(0, 0, 60, 50).shape == (50, 60, 3)


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_noise_is_not_an_image(tmp_path, content):
    path = tmp_path / "noise.tif"
    path.write_bytes(content)
    with pytest.raises(ImageReadError, match=r"noise\.tif"):
        open_slide(path)


@pytest.mark.parametrize("downsample", [0.5, 0, -1, 1.1, float("nan"), float("inf")])
def test_scales_off_the_grid_are_refused(tmp_path, downsample):
    with open_slide(save(tmp_path / "a.png")) as slide, pytest.raises(SettingsError, match="multiple of 1/8"):
        read_scaled(slide, 0, 0, 5, 5, downsample)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes of POSIX")
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.svs")
    (tmp_path / "device.tif").symlink_to(os.devnull)
    for name in ("pipe.svs", "device.tif"):
        with pytest.raises(ImageReadError, match=rf"'{name}'.*it is a pipe, socket or device"):
            open_slide(tmp_path / name)


def test_links_that_lead_nowhere_are_refused(tmp_path):
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing.png")
    for name in ("a.png", "gone.png"):
        with pytest.raises(ImageReadError, match=rf"'{name}'.*does not exist or cannot be reached"):
            open_slide(tmp_path / name)


@pytest.mark.parametrize(
    ("codec", "kind"),
    [("webp", "rgb"), ("jpeg2000", "rgb"), ("zstd", "rgb"), (None, "minisblack"), (None, "miniswhite")],
)
def test_tiled_tiffs_that_openslide_cannot_read_are_read_as_flat_images(tmp_path, codec, kind):
    # OpenSlide opens any tiled TIFF, but has no WebP or JPEG 2000 in it and no bits; and of uncompressed grey tiles of
    # 16 px it refuses the last one.
    path = tmp_path / "t.tif"
    y, x = np.mgrid[0:205, 0:177]
    grey = ((x + y) // 2 + 40).astype(np.uint8)
    pixels = np.dstack([grey, grey, grey])
    expected, options = pixels, {}
    if codec in ("webp", "jpeg2000"):
        options["compressionargs"] = {"level": 100 if codec == "webp" else 60}
    if kind == "minisblack":
        expected = np.where(pixels > 120, 255, 0)
        pixels = grey > 120
    elif kind == "miniswhite":
        expected, pixels = 255 - pixels, grey
    tifffile.imwrite(
        path, pixels, tile=(16, 16), photometric=kind, compression=codec, metadata=None, **options
    )
    with open_slide(path) as slide:
        found = slide.read(0, 0, slide.width, slide.height)
    assert found.shape == (205, 177, 3)
    assert np.abs(found.astype(int) - expected).max() <= (4 if options else 0)


def test_of_two_readers_the_one_that_reads_the_last_tile_is_taken(tmp_path):
    path = tmp_path / "t.tif"
    pixels = np.random.default_rng(3).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    tifffile.imwrite(path, pixels, tile=(16, 16), photometric="rgb", metadata=None)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 120, 100), pixels)


def test_a_pyramid_that_no_reader_knows_is_not_called_too_large(tmp_path, monkeypatch):
    path = tmp_path / "t.tif"
    tifffile.imwrite(
        path, np.zeros((64, 64, 3), np.uint8), tile=(16, 16), photometric="rgb", compression="webp"
    )
    monkeypatch.setattr(
        slide_module.PlainSlide.__init__, "__kwdefaults__", {"max_pixels": 100, "series": None, "plane": None}
    )
    with pytest.raises(ImageReadError, match="Unsupported TIFF compression"):
        open_slide(path)


def test_odd_headers_are_not_reported_twice(tmp_path, capfd):
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint8), photometric="rgb", compression="zlib")
    data = bytearray(path.read_bytes())
    data[10:12] = b"\x07\x07"
    path.write_bytes(data)
    with pytest.raises(ImageReadError):
        open_slide(path)
    assert capfd.readouterr() == ("", "")
