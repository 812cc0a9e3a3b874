"""Heat maps over an image: planes of values, a pyramid that QuPath opens, and pictures laid over the slide.

Every map begins at the image's corner, so a point of it is a point of the image divided by `HeatPlanes.step`.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from uuid import NAMESPACE_URL, uuid5

import cv2
import numpy as np
import orjson
import tifffile

from qupath_her2.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from qupath_her2.records import PatchTable

__all__ = [
    "OVERLAYS",
    "HeatPlanes",
    "Overlay",
    "heat_planes",
    "heat_pyramid",
    "heat_step",
    "lay_over",
    "map_slice",
    "overlays_json",
    "read_overlays",
]

#: File of a run that says where its overlays lie; groovy/lib/Her2HeatMap.groovy reads it too.
OVERLAYS = "overlays.json"
_FORMAT = 1
#: Longest side of a map, unless the image holds more patches in a row than that; maps of several planes are smaller.
_LONGEST_PX, _LONGEST_OF_MANY_PX = 4096, 2048
_TILE_PX = 256


@dataclass(frozen=True, slots=True, eq=False)
class HeatPlanes:
    """Values over an image.

    Attributes
    ----------
    names
        Of the planes.
    values
        float32 (C, H, W), NaN where nothing was said.
    step
        Side of a pixel of the planes, level-0 pixels.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    step: float

    def overlay(self, name: str, file: str) -> Overlay:
        """Return where a picture of one plane lies, named `name`, in `file`."""
        high, wide = self.values.shape[1:]
        return Overlay(name, file, 0, 0, round(wide * self.step), round(high * self.step))


@dataclass(frozen=True, slots=True)
class Overlay:
    """A picture to be laid over an image.

    Attributes
    ----------
    name
        What it shows, in words.
    file
        PNG with transparency, in the folder of the run.
    x, y, width, height
        Where it lies, level-0 pixels.
    """

    name: str
    file: str
    x: int
    y: int
    width: int
    height: int


def heat_step(
    box_xywh: NDArray[np.int32], width: int, height: int, most_px: int, longest_px: int = _LONGEST_PX
) -> float:
    """Return the side of a map's pixel, level-0 pixels: a patch gets `most_px` of them, fewer on a large image.

    Parameters
    ----------
    box_xywh
        int32 (N, 4), N >= 1, the patches.
    width, height
        Of the image, level-0 pixels.
    most_px
        Pixels along a patch.
    longest_px
        Of the map, unless more patches than that lie in a row.
    """
    side = int(box_xywh[:, 2:].min())
    in_a_row = max(width, height) / side
    return side / max(1, min(most_px, math.floor(longest_px / in_a_row)))


def heat_planes(patches: PatchTable, width: int, height: int, *, most_px: int = 16) -> HeatPlanes:
    """Arrange the probabilities of patches over their image; where patches overlap, their mean.

    Parameters
    ----------
    patches
        At least one.
    width, height
        Of the image, level-0 pixels.
    most_px
        Pixels along a patch.

    Raises
    ------
    OutputError
        There is no patch.
    """
    if len(patches) == 0:
        raise OutputError("A heat map needs a patch; there is none.")
    step = heat_step(patches.box_xywh, width, height, most_px, _LONGEST_OF_MANY_PX)
    shape = (math.ceil(height / step), math.ceil(width / step))
    total = np.zeros((len(patches.class_names), *shape), np.float32)
    count = np.zeros(shape, np.uint16)
    for box, probabilities in zip(patches.box_xywh, patches.probabilities, strict=True):
        if np.isfinite(probabilities).all():
            place = map_slice(box, step)
            total[(slice(None), *place)] += probabilities[:, None, None]
            count[place] += 1
    with np.errstate(invalid="ignore"):
        mean = (total / count).astype(np.float32)
    return HeatPlanes(patches.class_names, mean, step)


def map_slice(box: NDArray[np.int32], step: float) -> tuple[slice, slice]:
    """Return rows and columns of a box on a map, at least one each."""
    x, y, width, height = box.tolist()
    left, top = round(x / step), round(y / step)
    right, bottom = round((x + width) / step), round((y + height) / step)
    return slice(top, max(top + 1, bottom)), slice(left, max(left + 1, right))


def heat_pyramid(
    heat: HeatPlanes, pixel_size_um: float | None, colours: Mapping[str, tuple[int, int, int]] | None = None
) -> bytes:
    """Return a tiled, pyramidal OME-TIFF, float32, a channel for each plane; QuPath opens it as an image.

    Each level averages 2 x 2 pixels of the one above, those without a value left out.

    Parameters
    ----------
    heat
        The planes.
    pixel_size_um
        µm of a level-0 pixel of the *image*; None where nobody knows it.
    colours
        {name of a plane: RGB} in which QuPath shows it.
    """
    levels = [heat.values]
    while max(levels[-1].shape[1:]) > _TILE_PX:
        levels.append(_halved(levels[-1]))
    digest = uuid5(NAMESPACE_URL, f"qupath-her2/heat/{heat.names}/{heat.step}/{pixel_size_um}")
    channel = {"Name": list(heat.names), "Color": [_ome_colour((colours or {}).get(n)) for n in heat.names]}
    metadata: dict[str, object] = {"axes": "CYX", "Channel": channel, "UUID": f"urn:uuid:{digest}"}
    if pixel_size_um is not None:
        size = heat.step * pixel_size_um
        metadata |= {"PhysicalSizeX": size, "PhysicalSizeY": size}
        metadata |= {"PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    out = io.BytesIO()
    with tifffile.TiffWriter(out, ome=True) as tiff:
        for number, level in enumerate(levels):
            tiff.write(
                level,
                photometric="minisblack",
                tile=(_TILE_PX, _TILE_PX),
                compression="zlib",
                subifds=len(levels) - 1 if number == 0 else None,
                subfiletype=0 if number == 0 else 1,
                metadata=metadata if number == 0 else None,
            )
    return out.getvalue()


def _halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of 2 x 2 pixels, NaN left out; an odd last row or column is averaged alone."""
    rows, columns = values.shape[1] % 2, values.shape[2] % 2
    even = np.pad(values, ((0, 0), (0, rows), (0, columns)), constant_values=np.nan)
    blocks = even.reshape(len(even), even.shape[1] // 2, 2, even.shape[2] // 2, 2)
    known = np.isfinite(blocks)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, blocks, 0).sum((2, 4)) / known.sum((2, 4))
    return cast("NDArray[np.float32]", mean.astype(np.float32))


def _ome_colour(rgb: tuple[int, int, int] | None) -> int:
    """Return OME's signed 32-bit RGBA; white where no colour is known."""
    red, green, blue = rgb or (255, 255, 255)
    value = red << 24 | green << 16 | blue << 8 | 255
    return value - (1 << 32) if value >= 1 << 31 else value


def overlays_json(overlays: Sequence[Overlay]) -> bytes:
    """Return ``overlays.json``, format 1."""
    entries = [{name: getattr(one, name) for name in Overlay.__dataclass_fields__} for one in overlays]
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps({"format": _FORMAT, "overlays": entries}, option=options)


def read_overlays(data: bytes) -> tuple[Overlay, ...]:
    """Return the overlays of an ``overlays.json``; OutputError where it is not one."""
    try:
        content = orjson.loads(data)
        if content["format"] != _FORMAT:
            raise OutputError(
                f"{OVERLAYS} has format {content['format']}, not {_FORMAT}. Update this package."
            )
        return tuple(Overlay(**entry) for entry in content["overlays"])
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{OVERLAYS} is damaged ({error}). Predict the image again with --force."
        ) from error


def lay_over(
    picture: NDArray[np.uint8], overlay: Overlay, png: bytes, scale: float, opacity: float = 0.6
) -> NDArray[np.uint8]:
    """Return a picture of an image with an overlay on it.

    Parameters
    ----------
    picture
        uint8 (H, W, 3) RGB, of the image from its corner.
    overlay, png
        The overlay.
    scale
        Picture pixels per level-0 pixel.
    opacity
        Of its opaque pixels, 0..1.

    Raises
    ------
    OutputError
        `png` is no PNG with transparency.
    """
    drawn = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if drawn is None or drawn.ndim != 3 or drawn.shape[2] != 4:
        raise OutputError(f"'{overlay.file}' is no picture with transparency. Predict the image again.")
    left, top = round(scale * overlay.x), round(scale * overlay.y)
    wide = max(1, round(scale * (overlay.x + overlay.width)) - left)
    high = max(1, round(scale * (overlay.y + overlay.height)) - top)
    # Colours under transparent pixels must not bleed in: they are weighed by their alpha before they are mixed.
    alpha = drawn[..., 3:].astype(np.float32) / 255
    weighed = np.concatenate([drawn[..., 2::-1] * alpha, alpha], axis=2)
    how = cv2.INTER_AREA if wide < drawn.shape[1] else cv2.INTER_NEAREST
    laid = cv2.resize(weighed, (wide, high), interpolation=how)
    mixed = picture.astype(np.float32)
    part = mixed[top : top + high, left : left + wide]
    # A map may end a part of its last pixel beyond the image.
    laid = laid[: part.shape[0], : part.shape[1]]
    part[:] = part * (1 - opacity * laid[..., 3:]) + opacity * laid[..., :3]
    return cast("NDArray[np.uint8]", np.clip(np.rint(mixed), 0, 255).astype(np.uint8))
