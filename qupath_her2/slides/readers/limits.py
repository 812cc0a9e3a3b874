"""Limits on what an image file may claim, checked before anything is decoded.

A header of a hundred bytes can claim terabytes. The limits lie far above what scanners and export programs write and
below what exhausts the memory or the patience of a workstation on which several images are read at once.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from typing import BinaryIO

import tifffile

__all__ = [
    "DAMAGED",
    "MAX_COARSEST_PIXELS",
    "MAX_FLAT_PIXELS",
    "MAX_PAGES",
    "MAX_TILE_PIXELS",
    "TILED_PYRAMID",
    "LimitError",
    "check_coarsest_level",
    "check_coded_size",
    "check_expansion",
    "check_flat_size",
    "check_jpeg_scans",
    "check_ome_planes",
    "check_page_chain",
    "check_tile",
]

#: 10,000 x 10,000 px, 2.5 mm of tissue at 0.25 µm. A flat image is decoded as a whole, which takes 4 bytes per pixel
#: in Pillow and 3 here: 0.7 GB and some three seconds at the limit.
MAX_FLAT_PIXELS = 100_000_000
#: 4,096 x 4,096 px; scanners and export programs write 128 to 2,048 px. Larger ones are decoded anew for each window
#: of 1,024 px, since caches hold 64 MiB.
MAX_TILE_PIXELS = 2**24
#: About 31,600 x 31,600 px. Tissue is sought on the coarsest level that is fine enough, which is read as a whole:
#: about ten seconds at the limit. Slides of 200,000 x 200,000 px have levels of 64-fold downsample, 10 megapixels.
MAX_COARSEST_PIXELS = 1_000_000_000
#: The same for files that store a byte for at most `_PIXELS_A_BYTE` pixels, as real slides without a pyramid do (blank
#: glass in JPEG takes about a byte for 100 px): 60,000 x 60,000 px are searched in half a minute, tile by tile.
MAX_STORED_COARSEST_PIXELS = 4_000_000_000
_PIXELS_A_BYTE = 100
#: That many pixels in tiles of 64 x 64 px; each tile costs some microseconds, whatever its size.
MAX_COARSEST_TILES = 250_000
#: 200,000 x 200,000 px in tiles of 128 x 128 px are 2.4 million.
MAX_TILES = 4_000_000
#: Images in one TIFF file. Slides have about ten; the largest stacks of planes some thousands.
MAX_PAGES = 10_000
#: Planes that OME-XML describes; tifffile lists each, which takes seconds and gigabytes for a claim of 1e9.
MAX_OME_PLANES = 1_000_000
#: No deflate stream holds more than 1,032 bytes in one (RFC 1951: 258 bytes in two bits). LZW reaches 2,558, a string
#: of 3,837 bytes in 12 bits, and Huffman-coded JPEG 1,365: one bit per block at 4:1:0.
MAX_EXPANSION = 2_600
#: Progressive JPEGs have about ten scans. A scan of a few bytes makes a decoder pass over all pixels.
MAX_JPEG_SCANS = 100

_PIXELS = re.compile(r"<(?:\w+:)?Pixels\b[^>]*")
_PLANE_COUNTS = re.compile(r"\bSize[CTZ]\s*=\s*[\"']\s*(\d+)")
_TIFF_DATA_COUNTS = re.compile(r"\bPlaneCount\s*=\s*[\"']\s*(\d+)")

DAMAGED = "The file may be damaged: copy or export it again."
TILED_PYRAMID = (
    "Save it as a tiled pyramid: QuPath, File → Export images → OME TIFF, "
    "or vips copy IN 'OUT.tif[tile,pyramid]'."
)


class LimitError(ValueError):
    """A file claims more than any reader should try; the message states the value met and the limit.

    Attributes
    ----------
    way_out
        A sentence that tells the user what to do.
    """

    def __init__(self, message: str, way_out: str = TILED_PYRAMID) -> None:
        super().__init__(message)
        self.way_out = way_out


def check_flat_size(width: int, height: int, max_pixels: int = MAX_FLAT_PIXELS) -> None:
    """Raise LimitError if an image without tiles is empty or too large to be decoded in one piece.

    Parameters
    ----------
    width, height
        Size that the file claims, px.
    max_pixels
        The limit.
    """
    if width < 1 or height < 1:
        raise LimitError(f"its size is {width} × {height} px", DAMAGED)
    if width * height > max_pixels:
        raise LimitError(
            f"it is {width} × {height} px in one piece ({width * height / 1e6:,.0f} megapixels), "
            f"over the limit of {max_pixels / 1e6:,.0f} megapixels for images decoded into memory"
        )


def check_tile(width: int, height: int, page: int = 0) -> None:
    """Raise LimitError if the tiles of a page are empty or too large.

    Parameters
    ----------
    width, height
        Size of a tile, px.
    page
        Number of the image in the file, from 0.
    """
    if not 0 < width * height <= MAX_TILE_PIXELS or min(width, height) < 1:
        raise LimitError(
            f"it has tiles of {width} × {height} px in image {page}, outside the limits of 1 to "
            f"{MAX_TILE_PIXELS / 1e6:,.1f} megapixels (4,096 × 4,096 px)"
        )


def check_coarsest_level(sizes: Sequence[tuple[int, int]], tiles: int = 0, stored_bytes: int = 0) -> None:
    """Raise LimitError if even the smallest level of a pyramid is too large to be read as a whole.

    Parameters
    ----------
    sizes
        (width, height) of each level, px, in any order.
    tiles
        Number of tiles of the smallest level; 0 if unknown.
    stored_bytes
        Size of the file; 0 if unknown. A small file cannot hold a large picture, whatever it claims.
    """
    width, height = min(sizes, key=lambda size: size[0] * size[1])
    is_stored = width * height <= stored_bytes * _PIXELS_A_BYTE
    limit = MAX_STORED_COARSEST_PIXELS if is_stored else MAX_COARSEST_PIXELS
    if width * height > limit:
        raise LimitError(
            f"its coarsest level is {width} × {height} px ({width * height / 1e6:,.0f} megapixels), over the limit of "
            f"{limit / 1e6:,.0f} megapixels at which a slide can still be searched for tissue"
        )
    if tiles > MAX_COARSEST_TILES:
        raise LimitError(
            f"its coarsest level of {width} × {height} px has {tiles:,} tiles, over the limit of "
            f"{MAX_COARSEST_TILES:,}"
        )


def check_expansion(decoded: int, stored: int, max_expansion: int = MAX_EXPANSION) -> None:
    """Raise LimitError if pixels cannot come from so few bytes, whatever these are.

    Parameters
    ----------
    decoded
        Bytes that the claimed pixels take.
    stored
        Bytes in the file.
    max_expansion
        Most bytes that the codec can hold in one.
    """
    if decoded > stored * max_expansion:
        raise LimitError(
            f"its header claims {decoded / 1e6:,.1f} MB of pixels, but only {stored:,} bytes are stored; "
            f"no more than {stored * max_expansion / 1e6:,.1f} MB can come from these",
            DAMAGED,
        )


def check_jpeg_scans(stream: BinaryIO) -> None:
    """Raise LimitError if a JPEG file has more scans than any camera or program writes; the stream is rewound."""
    # Compressed data never contain FF DA: a byte FF in them is followed by 00 or a restart marker.
    scans = stream.read().count(b"\xff\xda")
    stream.seek(0)
    if scans > MAX_JPEG_SCANS:
        raise LimitError(
            f"it is a JPEG of {scans:,} scans, over the limit of {MAX_JPEG_SCANS}",
            "Save it again as an ordinary JPEG or PNG.",
        )


def check_page_chain(tiff: tifffile.TiffFile) -> None:
    """Raise LimitError if the images of a TIFF file are too many, or lead back to an earlier one.

    tifffile follows such a loop for ever, and needs seconds for tens of thousands of images.
    """
    form, stream = tiff.tiff, tiff.filehandle
    offset, seen = tiff.pages.first.offset, dict[int, int]()
    while 0 < offset < stream.size:
        if offset in seen:
            raise LimitError(
                f"its list of images loops: after image {len(seen) - 1} comes image {seen[offset]} again",
                DAMAGED,
            )
        seen[offset] = len(seen)
        if len(seen) > MAX_PAGES:
            raise LimitError(
                f"it has more than {MAX_PAGES:,} images, which is the limit", "Save the slide's image alone."
            )
        try:
            stream.seek(offset)
            (tags,) = struct.unpack(form.tagnoformat, stream.read(form.tagnosize))
            stream.seek(offset + form.tagnosize + tags * form.tagsize)
            (offset,) = struct.unpack(form.offsetformat, stream.read(form.offsetsize))
        except (struct.error, OSError, OverflowError):
            # The chain ends inside the file's last bytes; tifffile stops at the same place.
            return


def check_ome_planes(xml: str) -> None:
    """Raise LimitError if OME-XML describes more planes than any microscope takes."""
    sizes = [math.prod(map(int, _PLANE_COUNTS.findall(pixels))) for pixels in _PIXELS.findall(xml)]
    planes = max(sum(sizes), *map(int, _TIFF_DATA_COUNTS.findall(xml)), 0)
    if planes > MAX_OME_PLANES:
        raise LimitError(
            f"its OME-XML describes {planes:,} planes, over the limit of {MAX_OME_PLANES:,}",
            "Save the slide's image alone.",
        )


def check_coded_size(data: bytes, width: int, height: int) -> None:
    """Raise LimitError if a JPEG or JPEG 2000 stream is far larger than the tile that it is stored for.

    Decoders allocate what the stream claims, not what the tile needs: 65,000 x 65,000 px are 12 GB.

    Parameters
    ----------
    data
        The stream, or its beginning.
    width, height
        Size of the tile or strip, px.
    """
    coded_width, coded_height = _coded_size(data)
    # Writers round tiles up to whole blocks, and some strips to more rows than they hold.
    if coded_width * coded_height > 4 * width * height + 2**16:
        raise LimitError(
            f"a tile of {width} × {height} px is stored as {coded_width} × {coded_height} px", DAMAGED
        )


def _coded_size(data: bytes) -> tuple[int, int]:
    """Return width and height in the header of a JPEG or JPEG 2000 stream; zeros if there is none."""
    # JPEG 2000 begins with the markers SOC and SIZ (ISO/IEC 15444-1, annex A), maybe within a box.
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start >= 0 and len(data) >= start + 16:
        return struct.unpack_from(">II", data, start + 8)
    at = 2
    # JPEG segments (ITU-T T.81, annex B) up to the frame header, SOF0 to SOF15 without DHT, JPG and DAC.
    while data[:2] == b"\xff\xd8" and at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0, 0
