"""Claims of size in image headers: refused before decoding with value, limit and way out; real slides pass."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from qupath_her2.errors import ImageReadError
from qupath_her2.slides.readers import limits
from qupath_her2.slides.readers.limits import (
    MAX_EXPANSION,
    MAX_JPEG_SCANS,
    MAX_PAGES,
    LimitError,
    check_coarsest_level,
    check_expansion,
    check_flat_size,
    check_tile,
)
from qupath_her2.slides.readers.slide import open_slide

#: Bytes of a TIFF directory with the nine tags of `directory`.
SIZE = 2 + 9 * 12 + 4


def directory(next_at, size=16):
    """One classic TIFF directory: a grey image in one strip at the start of the file."""
    tags = (
        (256, size),
        (257, size),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, size),
        (279, size**2),
    )
    return (
        struct.pack("<H", 9)
        + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in tags)
        + struct.pack("<I", next_at)
    )


def chained(path, n, last=0):
    """A TIFF of `n` images; the last leads to image `last`, or to none."""
    at = [264 + SIZE * index for index in range(n)]
    following = [*at[1:], at[last] if last else 0]
    pages = b"".join(directory(offset) for offset in following)
    path.write_bytes(b"II*\0" + struct.pack("<I", at[0]) + bytes(256) + pages)
    return path


def claim(path, width, height, tile, *, tags=()):
    """A tiled TIFF whose header claims a size; each of its tiles is the same small deflate stream."""
    tifffile.imwrite(
        path, np.zeros((tile, tile, 3), np.uint8), tile=(tile, tile), compression="zlib", photometric="rgb"
    )
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        offset, count = page.dataoffsets[0], page.databytecounts[0]
        positions = {tag.code: tag.offset for tag in page.tags}
    n = -(-width // tile) * -(-height // tile)
    for code, values in ((324, offset), (325, count)):
        struct.pack_into("<HHII", data, positions[code], code, 4, n, len(data))
        data += struct.pack("<I", values) * n
    for code, value in ((256, width), (257, height), *tags):
        struct.pack_into("<HHII", data, positions[code], code, 4, 1, value)
    path.write_bytes(data)
    return path


def refusal(path):
    with pytest.raises(ImageReadError) as found:
        open_slide(path)
    return str(found.value)


@pytest.mark.parametrize("tile", [256, 1024])
def test_a_claim_of_40000_px_without_a_pyramid_is_refused_at_once(tmp_path, tile):
    text = refusal(claim(tmp_path / "claim.tif", 40_000, 40_000, tile))
    assert "40000 × 40000 px (1,600 megapixels), over the limit of 1,000 megapixels" in text
    assert "Save it as a tiled pyramid" in text


def test_tiny_tiles_count(tmp_path):
    text = refusal(claim(tmp_path / "tiny.tif", 12_000, 12_000, 16))
    assert "562,500 tiles, over the limit of 250,000" in text


def test_giant_tiles_are_refused(tmp_path):
    path = claim(tmp_path / "tiles.tif", 16_384, 16_384, 1024, tags=((322, 8192), (323, 8192)))
    assert "tiles of 8192 × 8192 px in image 0" in refusal(path)
    with pytest.raises(ImageReadError, match="tiles of 8192 × 8192 px"):
        open_slide(path, "openslide")
    with pytest.raises(ImageReadError, match=r"tiles of 8192 × 8192 px|over the limit of 100 megapixels"):
        open_slide(path, "plain")


def test_a_giant_png_is_refused_without_memory(tmp_path):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 14_000, 14_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")
    (tmp_path / "giant.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    tracemalloc.start()
    text = refusal(tmp_path / "giant.png")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "14000 × 14000 px in one piece (196 megapixels), over the limit of 100 megapixels" in text
    assert "QuPath, File → Export images" in text
    assert peak < 2e6


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_pixels_that_so_few_bytes_cannot_hold_are_refused(tmp_path, suffix):
    path = tmp_path / f"bomb.{suffix}"
    Image.new("RGB", (40, 30), "white").save(path)
    data = bytearray(path.read_bytes())
    # IHDR begins at byte 8 of a PNG; a JPEG's frame header has height and width behind its marker.
    if suffix == "png":
        struct.pack_into(">II", data, 16, 9_000, 9_000)
        struct.pack_into(">I", data, 29, zlib.crc32(bytes(data[12:29])))
    else:
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, 9_000, 9_000)
    path.write_bytes(data)
    text = refusal(path)
    assert "claims 243.0 MB of pixels" in text
    assert f"only {len(data):,} bytes are stored" in text


@pytest.mark.parametrize(
    ("save", "options"),
    [
        ("png", {}),
        ("png", {"compress_level": 9}),
        ("jpg", {"quality": 1}),
        ("jpg", {"progressive": True, "quality": 1}),
    ],
)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_blank_images_pass_however_small_their_files(tmp_path, save, options, mode):
    path = tmp_path / f"blank.{save}"
    Image.new(mode, (1200, 800), "white").save(path, **options)
    with open_slide(path) as slide:
        assert (slide.read(1190, 790, 10, 10) == 255).all()


@pytest.mark.parametrize("codec", ["zlib", "lzw", "jpeg"])
def test_blank_tiles_pass_however_small_they_are(tmp_path, codec):
    path = tmp_path / f"{codec}.tif"
    tifffile.imwrite(
        path, np.full((1024, 1024, 3), 255, np.uint8), tile=(1024, 1024), compression=codec, photometric="rgb"
    )
    with open_slide(path, "tiff") as slide:
        assert (slide.read(0, 0, 50, 50) == 255).all()


def test_lists_of_images_that_loop_are_refused(tmp_path):
    for n, back in ((1, 0), (2, 1), (3000, 200)):
        path = chained(tmp_path / f"{n}.tif", n, back)
        if n == 1:
            path.write_bytes(path.read_bytes()[:-4] + struct.pack("<I", 264))
        assert f"after image {n - 1} comes image {back} again" in refusal(path)


def test_the_number_of_images_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_PAGES", 20)
    assert "more than 20 images" in refusal(chained(tmp_path / "many.tif", 21))
    with open_slide(chained(tmp_path / "some.tif", 20), plane=19) as slide:
        assert slide.level_dimensions == ((16, 16),)


def test_jpegs_of_very_many_scans_are_refused(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(buffer, "jpeg", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    path = tmp_path / "scans.jpg"
    path.write_bytes(data[:last] + scan * (MAX_JPEG_SCANS + 1) + data[-2:])
    assert f"scans, over the limit of {MAX_JPEG_SCANS}" in refusal(path)
    path.write_bytes(data)
    with open_slide(path) as slide:
        assert (slide.width, slide.height) == (64, 64)


def test_channels_and_kinds_of_numbers_are_refused_before_decoding(tmp_path):
    path = tmp_path / "channels.tif"
    tifffile.imwrite(path, np.zeros((16, 16, 6), np.uint8), photometric="rgb", planarconfig="contig")
    assert "6 channels" in refusal(path)
    tifffile.imwrite(path, np.zeros((16, 16, 3), np.float64), photometric="rgb")
    assert "float64" in refusal(path)


@pytest.mark.parametrize(
    "levels",
    [
        # Aperio at 40x with few levels, MIRAX, and a 200,000 px square with OME's halving.
        [(180_000, 95_000), (45_000, 23_750), (11_250, 5_937)],
        [(120_000, 80_000), (30_000, 20_000)],
        [(200_000 >> n, 200_000 >> n) for n in range(8)],
        [(30_000, 30_000)],
    ],
)
def test_whole_slides_pass(levels):
    check_coarsest_level(levels, tiles=-(-levels[-1][0] // 240) * -(-levels[-1][1] // 240))


@pytest.mark.parametrize("size", [128, 240, 512, 1360, 2056, 4096])
def test_tiles_of_scanners_pass(size):
    check_tile(size, size)


@pytest.mark.parametrize("size", [(0, 256), (256, 0), (-1, -256), (4097, 4097), (2**31, 2**31)])
def test_other_tiles_do_not(size):
    with pytest.raises(LimitError, match=rf"{size[0]} × {size[1]} px in image 3"):
        check_tile(*size, page=3)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-3, 4)])
def test_empty_images_are_called_damaged(size):
    with pytest.raises(LimitError) as found:
        check_flat_size(*size)
    assert found.value.way_out.startswith("The file may be damaged")


def test_expansion_at_the_limit_passes():
    check_expansion(MAX_EXPANSION * 10, 10)
    with pytest.raises(LimitError, match="only 10 bytes are stored"):
        check_expansion(MAX_EXPANSION * 10 + 1, 10)
    assert MAX_PAGES >= 1000


@pytest.mark.parametrize(
    ("codec", "reader"), [("jpeg", "tiff"), ("jpeg", "plain"), ("jpeg2000", "plain"), ("jpeg2000", "auto")]
)
def test_streams_larger_than_their_tile_are_refused(tmp_path, codec, reader):
    path = tmp_path / "t.tif"
    pixels = np.full((200, 200, 3), 200, np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", compression=codec, tile=(64, 64), metadata=None)
    with open_slide(path, reader) as slide:
        assert np.abs(slide.read(0, 0, 200, 200).astype(int) - 200).max() <= 2
    data = bytearray(path.read_bytes())
    marker, skip, form = (b"\xff\xc0", 5, ">HH") if codec == "jpeg" else (b"\xff\x51", 6, ">II")
    place = data.find(marker)
    while place >= 0:
        struct.pack_into(form, data, place + skip, 60_000, 60_000)
        place = data.find(marker, place + 1)
    path.write_bytes(data)
    with (
        pytest.raises(ImageReadError, match="tile of 64 × 64 px is stored as 60000 × 60000 px"),
        open_slide(path, reader) as slide,
    ):
        slide.read(0, 0, 10, 10)


@pytest.mark.parametrize(
    "claim", [{"SizeZ": 10**9}, {"SizeT": 50_000, "SizeZ": 50_000}, {"PlaneCount": 10**9}]
)
def test_planes_that_ome_xml_only_claims_are_refused(tmp_path, claim):
    sizes = {"SizeX": 30, "SizeY": 20, "SizeC": 3, "SizeZ": 1, "SizeT": 1, "PlaneCount": 1, **claim}
    planes = sizes.pop("PlaneCount")
    attributes = " ".join(f'{key}="{value}"' for key, value in sizes.items())
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" {attributes}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="{planes}"/>'
        "</Pixels></Image></OME>"
    )
    path = tmp_path / "o.ome.tif"
    tifffile.imwrite(path, np.zeros((20, 30, 3), np.uint8), photometric="rgb", description=xml, metadata=None)
    assert "planes, over the limit of 1,000,000" in refusal(path)
