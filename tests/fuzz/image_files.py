"""Valid images of unusual kinds, written by seed, each with the pixels that a reader must return."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

__all__ = ["WRITERS", "Truth", "Writer", "field"]

#: Mean difference per channel that JPEG may make of a drawn field, of 255.
JPEG_TOLERANCE = 25.0


@dataclass(frozen=True)
class Truth:
    """Pixels that must be read, uint8 (H, W, 3); `tolerance` is the mean difference allowed, of 255."""

    pixels: NDArray[np.uint8]
    tolerance: float = 0.0


def field(rng: random.Random, width: int, height: int) -> NDArray[np.uint8]:
    """Return brown and blue blots on glass, uint8 (height, width, 3)."""
    noise = np.random.default_rng(rng.getrandbits(32))
    coarse = noise.random((-(-height // 16) + 1, -(-width // 16) + 1, 2), dtype=np.float32)
    amount = np.stack(
        [
            np.asarray(
                Image.fromarray(coarse[..., channel]).resize((width, height), Image.Resampling.BICUBIC)
            )
            for channel in (0, 1)
        ],
        axis=-1,
    )
    # Optical densities of haematoxylin and DAB, as in Ruifrok and Johnston (2001).
    density = amount.clip(0, 1) @ np.array([[0.65, 0.70, 0.29], [0.27, 0.57, 0.78]], np.float32)
    return (240 * 10 ** -(0.6 * density)).round().astype(np.uint8)


def _size(rng: random.Random) -> tuple[int, int]:
    """Draw a width and height, px; one image in four is a few pixels wide or high."""
    few = (1, 2, 3, 15, 16, 17)
    width, height = rng.randint(40, 300), rng.randint(40, 300)
    odd = rng.randrange(12)
    return (rng.choice(few) if odd in (0, 1) else width, rng.choice(few) if odd in (1, 2) else height)


def _grey3(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=2)


def _over_white(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    share = alpha[..., None] / 255.0
    return (rgb * share + 255 * (1 - share)).round().astype(np.uint8)


def _ramp(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.resize(np.arange(256, dtype=np.uint8), shape)


def _pillow(rng: random.Random, path: Path, *, mode: str, form: str, **options: Any) -> Truth:
    """Write by Pillow in a colour mode."""
    rgb = field(rng, *_size(rng))
    grey = rgb[..., 1]
    tolerance = JPEG_TOLERANCE if form == "JPEG" else 0.0
    if mode == "RGB":
        image, truth = Image.fromarray(rgb), rgb
    elif mode == "L":
        image, truth = Image.fromarray(grey), _grey3(grey)
    elif mode == "1":
        bits = grey > 150
        image, truth = Image.fromarray(bits), _grey3(bits.astype(np.uint8) * np.uint8(255))
    elif mode == "P":
        image = Image.fromarray(rgb).quantize(rng.choice((2, 7, 250)))
        truth = np.asarray(image.convert("RGB"))
    elif mode in ("RGBA", "LA"):
        alpha = _ramp(grey.shape)
        planes = (rgb, alpha) if mode == "RGBA" else (grey, alpha)
        image = Image.fromarray(np.dstack(planes), mode=None)
        truth, tolerance = _over_white(rgb if mode == "RGBA" else _grey3(grey), alpha), 0.51
    elif mode == "I;16":
        deep = grey.astype(np.uint16) * 257
        image, truth = Image.fromarray(deep), _grey3(grey)
    else:
        ink = np.dstack([255 - rgb, np.zeros_like(grey)])
        image, truth = Image.frombytes("CMYK", rgb.shape[1::-1], ink.tobytes()), rgb
    image.save(path, form, **options)
    return Truth(truth, tolerance)


#: Adam7: first column and row, and steps, of each pass (PNG specification, section 8.2).
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Return a PNG chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _interlaced_png(rng: random.Random, path: Path) -> Truth:
    rgb = field(rng, *_size(rng))
    raw = b"".join(
        b"\0" + row.tobytes() for x, y, across, down in _ADAM7 for row in rgb[y::down, x::across] if row.size
    )
    header = struct.pack(">IIBBBBB", rgb.shape[1], rgb.shape[0], 8, 2, 0, 0, 1)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks))
    return Truth(rgb)


def _animated_png(rng: random.Random, path: Path) -> Truth:
    rgb = field(rng, *_size(rng))
    frames = [Image.fromarray(np.roll(rgb, 3 * n, axis=1)) for n in range(3)]
    frames[0].save(path, "PNG", save_all=True, append_images=frames[1:])
    return Truth(rgb)


#: Keyword arguments of tifffile by the kind of pixels.
_TIFF_PIXELS = ("rgb", "grey", "alpha", "16 bit", "1 bit", "palette", "cmyk", "planes", "white is zero")


def _tiff(rng: random.Random, path: Path, *, kind: str) -> Truth:
    """Write by tifffile: any layout and codec that suits the kind of pixels."""
    rgb = field(rng, *_size(rng))
    grey = rgb[..., 1]
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None}
    pixels, truth, tolerance = rgb, rgb, 0.0
    codecs = [None, "zlib", "lzw", "packbits", "zstd"]
    if kind == "rgb":
        codecs += ["jpeg", "jpeg2000", "webp"]
    elif kind == "grey":
        pixels, truth, options["photometric"] = grey, _grey3(grey), "minisblack"
        codecs.append("jpeg")
    elif kind == "alpha":
        pixels, tolerance = np.dstack([rgb, _ramp(grey.shape)]), 0.51
        truth, options["extrasamples"] = _over_white(rgb, pixels[..., 3]), ["unassalpha"]
    elif kind == "16 bit":
        pixels = rgb.astype(np.uint16) * 257
    elif kind == "1 bit":
        pixels, options["photometric"] = grey > 150, "minisblack"
        truth, codecs = _grey3(pixels.astype(np.uint8) * np.uint8(255)), [None]
    elif kind == "palette":
        colours = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (3, 256), dtype=np.uint8)
        pixels, options["photometric"] = grey, "palette"
        options["colormap"], truth = colours.astype(np.uint16) * 257, np.moveaxis(colours[:, grey], 0, -1)
    elif kind == "cmyk":
        pixels, options["photometric"] = np.dstack([255 - rgb, np.zeros_like(grey)]), "separated"
    elif kind == "planes":
        pixels, options["planarconfig"] = np.ascontiguousarray(np.moveaxis(rgb, -1, 0)), "separate"
    else:
        pixels, truth, options["photometric"] = grey, _grey3(255 - grey), "miniswhite"
    codec = rng.choice(codecs)
    if codec in ("jpeg", "webp", "jpeg2000"):
        tolerance = JPEG_TOLERANCE
        options["compressionargs"] = {"level": 90}
    layout = {"tile": rng.choice(((16, 16), (64, 64), (128, 256)))}
    if rng.random() < 0.5:
        layout = {"rowsperstrip": rng.choice((1, 7, 64, 10_000))}
    byteorder = rng.choice("<>") if codec not in ("jpeg", "webp", "jpeg2000") else "<"
    is_big = rng.random() < 0.3
    tifffile.imwrite(
        path, pixels, compression=codec, bigtiff=is_big, byteorder=byteorder, **layout, **options
    )
    return Truth(truth, tolerance)


def _pyramid(rng: random.Random, path: Path, *, kind: str) -> Truth:
    """Write a tiled pyramid as vips (reduced pages), OME (SubIFDs) or Aperio (pages with a description) do."""
    width, height = rng.randint(300, 700), rng.randint(300, 700)
    rgb = field(rng, width, height)
    levels = [rgb[:: 2**n, :: 2**n] for n in range(3)]
    codec = rng.choice(("jpeg", "zlib", "lzw"))
    options: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "compression": codec}
    with tifffile.TiffWriter(path, bigtiff=rng.random() < 0.5, ome=kind == "ome") as writer:
        if kind == "ome":
            size = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
            writer.write(rgb, subifds=2, metadata={"axes": "YXS", **size}, **options)
        elif kind == "svs":
            text = f"Aperio Image Library v1\n{width}x{height} (64x64) Q=70|AppMag = 40|MPP = 0.25"
            writer.write(rgb, description=text, metadata=None, **options)
        else:
            writer.write(rgb, metadata=None, **options)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, metadata=None, **options)
    return Truth(rgb, JPEG_TOLERANCE if codec == "jpeg" else 0.0)


#: Writes one valid image to a path and returns the pixels that must be read.
Writer = Callable[[random.Random, Path], Truth]
#: {kind: (extension, writer)}
WRITERS: dict[str, tuple[str, Writer]] = {
    **{
        f"png {mode}": (".png", partial(_pillow, mode=mode, form="PNG"))
        for mode in ("RGB", "L", "1", "P", "RGBA", "LA", "I;16")
    },
    "png interlaced": (".png", _interlaced_png),
    "png animated": (".png", _animated_png),
    "bmp": (".bmp", partial(_pillow, mode="RGB", form="BMP")),
    "bmp palette": (".bmp", partial(_pillow, mode="P", form="BMP")),
    "jpeg": (".jpg", partial(_pillow, mode="RGB", form="JPEG", quality=90)),
    "jpeg progressive": (".jpg", partial(_pillow, mode="RGB", form="JPEG", quality=90, progressive=True)),
    "jpeg grey": (".jpeg", partial(_pillow, mode="L", form="JPEG", quality=90)),
    "jpeg cmyk": (".jpg", partial(_pillow, mode="CMYK", form="JPEG", quality=95)),
    **{f"tiff {kind}": (".tif", partial(_tiff, kind=kind)) for kind in _TIFF_PIXELS},
    "pyramid vips": (".tif", partial(_pyramid, kind="vips")),
    "pyramid ome": (".ome.tif", partial(_pyramid, kind="ome")),
    "pyramid aperio": (".svs", partial(_pyramid, kind="svs")),
}
