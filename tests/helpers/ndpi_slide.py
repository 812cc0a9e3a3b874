"""A small Hamamatsu NDPI: a TIFF of one JPEG strip, with offsets of 64 bits and the scan's place on the glass."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_SHORT, _LONG, _RATIONAL, _FLOAT, _SLONG, _ASCII = 3, 4, 5, 11, 9, 2
_MAKE = b"Hamamatsu\0"


def write_ndpi_slide(
    path: Path,
    pixels: NDArray[np.uint8],
    *,
    pixel_size_um: float = 0.5,
    offset_nm: tuple[int, int] = (0, 0),
) -> None:
    """Write an NDPI file of one level.

    Parameters
    ----------
    path
        The file.
    pixels
        uint8 (H, W, 3), RGB; stored as JPEG.
    pixel_size_um
        Width and height of a pixel, µm.
    offset_nm
        Centre of the scan from the centre of the glass slide, (x, y), nm.
    """
    height, width = pixels.shape[:2]
    _, encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
    jpeg = encoded.tobytes()
    # The header takes 12 bytes: NDPI has 8-byte offsets behind the magic number of a classic TIFF.
    jpeg_at, make_at = 32, 32 + len(jpeg)
    resolution_at = make_at + len(_MAKE) + len(_MAKE) % 2
    ifd_at = resolution_at + 8
    per_cm = round(10_000 / pixel_size_um)
    float_bits = struct.unpack("<I", struct.pack("<f", 20.0))[0]
    entries = [
        (256, _LONG, 1, width),
        (257, _LONG, 1, height),
        (258, _SHORT, 1, 8),
        (259, _SHORT, 1, 7),
        (262, _SHORT, 1, 6),
        (271, _ASCII, len(_MAKE), make_at),
        (273, _LONG, 1, jpeg_at),
        (277, _SHORT, 1, 3),
        (278, _LONG, 1, height),
        (279, _LONG, 1, len(jpeg)),
        (282, _RATIONAL, 1, resolution_at),
        (283, _RATIONAL, 1, resolution_at),
        (296, _SHORT, 1, 3),
        (65420, _LONG, 1, 1),
        (65421, _FLOAT, 1, float_bits),
        (65422, _SLONG, 1, offset_nm[0] & 0xFFFFFFFF),
        (65423, _SLONG, 1, offset_nm[1] & 0xFFFFFFFF),
        (65424, _SLONG, 1, 0),
    ]
    ifd = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    # Next directory: none. Then the upper 32 bits of all values, which are zero in a small file.
    ifd += struct.pack("<Q", 0) + b"\0" * (4 * len(entries))
    head = struct.pack("<2sHQ", b"II", 42, ifd_at).ljust(jpeg_at, b"\0")
    body = head + jpeg + _MAKE.ljust(resolution_at - make_at, b"\0") + struct.pack("<II", per_cm, 1)
    path.write_bytes(body + ifd)
