"""Drawn images whose every pixel is a formula of x, y and channel, and files made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

WHITE = 255


def formula(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """uint8 (..., 3) colours of integer positions; smooth enough for JPEG, different everywhere nearby."""
    red = 128 + 90 * np.sin(x / 17.0) * np.cos(y / 29.0)
    green = (x * 0.31 + y * 0.17) % 200 + 20
    blue = 128 + 60 * np.cos((x + 2 * y) / 23.0)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def drawn(width: int, height: int, step: int = 1) -> np.ndarray:
    """The formula at every `step`-th level-0 pixel: (height, width, 3) for a level of that size."""
    y, x = np.mgrid[:height, :width]
    return formula(x * step, y * step)


def window(width: int, height: int, x: int, y: int, w: int, h: int, step: int = 1) -> np.ndarray:
    """What a lossless reader must return for a window of a level of size (width, height), in level pixels."""
    yy, xx = np.mgrid[y : y + h, x : x + w]
    out = formula(xx * step, yy * step)
    out[(xx < 0) | (yy < 0) | (xx >= width) | (yy >= height)] = WHITE
    return out


JPEG_KINDS = {
    "rgb": {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"outcolorspace": "rgb"}},
    "ycbcr-444": {"photometric": "ycbcr", "compression": "jpeg", "subsampling": (1, 1)},
    "ycbcr-422": {"photometric": "ycbcr", "compression": "jpeg", "subsampling": (2, 1)},
    "ycbcr-420": {"photometric": "ycbcr", "compression": "jpeg", "subsampling": (2, 2)},
}
LOSSLESS_KINDS = {
    "raw": {"photometric": "rgb"},
    "deflate": {"photometric": "rgb", "compression": "zlib", "predictor": True},
    "lzw": {"photometric": "rgb", "compression": "lzw"},
}


def write_pyramid(
    path: Path, width: int, height: int, kind: dict, steps=(1, 2, 4), tile=256, **first
) -> Path:
    """Write a tiled TIFF whose further levels are later pages marked as reduced."""
    with tifffile.TiffWriter(path) as writer:
        for number, step in enumerate(steps):
            level = drawn(width // step, height // step, step)
            extra = first if number == 0 else {"subfiletype": 1}
            writer.write(level, tile=(tile, tile), metadata=None, **kind, **extra)
    return path
