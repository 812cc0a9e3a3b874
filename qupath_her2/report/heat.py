"""Heat maps of an image: grids of patch probabilities, an OME-TIFF pyramid for QuPath, and blended pictures.

Every map starts at the image's top-left corner: map coordinates are level-0 coordinates divided by `HeatPlanes.step`.
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
    "blend_overlay",
    "map_slice",
    "overlays_json",
    "read_overlays",
]

#: File of a run with the position of its overlays; groovy/lib/Her2HeatMap.groovy reads it too.
OVERLAYS = "overlays.json"
_FORMAT = 1
#: Longest side of a map, px, unless the image has more patches per row than that; smaller for maps of several planes.
_LONGEST_PX, _LONGEST_OF_MANY_PX = 4096, 2048
_TILE_PX = 256


@dataclass(frozen=True, slots=True, eq=False)
class HeatPlanes:
    """Maps of several quantities over one image.

    Attributes
    ----------
    names
        C names, one per plane.
    values
        float32 (C, H, W), NaN where there is no value.
    step
        Side of a map pixel, level-0 pixels.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    step: float

    def overlay(self, name: str, file: str) -> Overlay:
        """Return the position of a picture `file` of one plane, with the title `name`."""
        high, wide = self.values.shape[1:]
        return Overlay(name, file, 0, 0, round(wide * self.step), round(high * self.step))


@dataclass(frozen=True, slots=True)
class Overlay:
    """A picture to be shown over an image.

    Attributes
    ----------
    name
        Title: what the picture shows.
    file
        Name of a PNG with transparency, in the folder of the run.
    x, y, width, height
        Its position on the image, level-0 pixels.
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
    """Choose the resolution of a map: `most_px` map pixels along a patch, fewer on a large image.

    Parameters
    ----------
    box_xywh
        int32 (N, 4), N >= 1, the patches in level-0 pixels.
    width, height
        Size of the image, level-0 pixels.
    most_px
        Largest number of map pixels along a patch.
    longest_px
        Longest side of the map, px; exceeded if the image has more patches per row.

    Returns
    -------
    float
        Side of a map pixel, level-0 pixels.
    """
    side = int(box_xywh[:, 2:].min())
    in_a_row = max(width, height) / side
    # A whole number of map pixels per patch, so that adjacent patches neither overlap nor leave a gap.
    return side / max(1, min(most_px, math.floor(longest_px / in_a_row)))


def heat_planes(patches: PatchTable, width: int, height: int, *, most_px: int = 16) -> HeatPlanes:
    """Arrange the class probabilities of patches as maps; overlapping patches are averaged.

    Parameters
    ----------
    patches
        At least one patch, positions in level-0 pixels.
    width, height
        Size of the image, level-0 pixels.
    most_px
        Largest number of map pixels along a patch.

    Returns
    -------
    HeatPlanes
        One plane per class, probabilities 0..1, NaN where there is no patch.

    Raises
    ------
    OutputError
        If there is no patch.
    """
    if len(patches) == 0:
        raise OutputError("A heat map needs at least one patch, but no patch was predicted.")
    step = heat_step(patches.box_xywh, width, height, most_px, _LONGEST_OF_MANY_PX)
    shape = (math.ceil(height / step), math.ceil(width / step))
    total = np.zeros((len(patches.class_names), *shape), np.float32)
    count = np.zeros(shape, np.uint16)
    for box, probabilities in zip(patches.box_xywh, patches.probabilities, strict=True):
        # Unreadable patches have NaN, which would spread to every patch they overlap.
        if np.isfinite(probabilities).all():
            place = map_slice(box, step)
            total[(slice(None), *place)] += probabilities[:, None, None]
            count[place] += 1
    with np.errstate(invalid="ignore"):
        mean = (total / count).astype(np.float32)
    return HeatPlanes(patches.class_names, mean, step)


def map_slice(box: NDArray[np.int32], step: float) -> tuple[slice, slice]:
    """Return the rows and columns of a map that a box (x, y, width, height; level-0 px) covers, at least one each."""
    x, y, width, height = box.tolist()
    left, top = round(x / step), round(y / step)
    right, bottom = round((x + width) / step), round((y + height) / step)
    return slice(top, max(top + 1, bottom)), slice(left, max(left + 1, right))


def heat_pyramid(
    heat: HeatPlanes, pixel_size_um: float | None, colours: Mapping[str, tuple[int, int, int]] | None = None
) -> bytes:
    """Encode maps as a tiled, pyramidal float32 OME-TIFF with a channel per plane, which QuPath opens as an image.

    Each level holds means of 2 x 2 pixels of the level before, without those that have no value.

    Parameters
    ----------
    heat
        The maps.
    pixel_size_um
        µm per level-0 pixel of the *image*, not of the map; None if unknown.
    colours
        {plane name: RGB} for display in QuPath.

    Returns
    -------
    bytes
        The file; the same maps give the same bytes.
    """
    levels = [heat.values]
    while max(levels[-1].shape[1:]) > _TILE_PX:
        levels.append(_halved(levels[-1]))
    # tifffile would write a random UUID.
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
    """Return means of 2 x 2 pixels ignoring NaN, float32 (C, H / 2, W / 2) rounded up."""
    # Padding with NaN, which the mean ignores: an odd last row or column is averaged on its own.
    rows, columns = values.shape[1] % 2, values.shape[2] % 2
    even = np.pad(values, ((0, 0), (0, rows), (0, columns)), constant_values=np.nan)
    blocks = even.reshape(len(even), even.shape[1] // 2, 2, even.shape[2] // 2, 2)
    # Not np.nanmean, which warns of blocks without a value; those become 0 / 0, NaN.
    known = np.isfinite(blocks)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, blocks, 0).sum((2, 4)) / known.sum((2, 4))
    return cast("NDArray[np.float32]", mean.astype(np.float32))


def _ome_colour(rgb: tuple[int, int, int] | None) -> int:
    """Return a colour as OME's signed 32-bit RGBA integer; white if `rgb` is None."""
    red, green, blue = rgb or (255, 255, 255)
    value = red << 24 | green << 16 | blue << 8 | 255
    return value - (1 << 32) if value >= 1 << 31 else value


def overlays_json(overlays: Sequence[Overlay]) -> bytes:
    """Return the content of ``overlays.json``, format 1."""
    entries = [{name: getattr(one, name) for name in Overlay.__dataclass_fields__} for one in overlays]
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps({"format": _FORMAT, "overlays": entries}, option=options)


def read_overlays(data: bytes) -> tuple[Overlay, ...]:
    """Parse the content of ``overlays.json``; OutputError if it is damaged or of another format."""
    try:
        content = orjson.loads(data)
        if content["format"] != _FORMAT:
            raise OutputError(
                f"{OVERLAYS} has format {content['format']}, but this version reads format {_FORMAT}. "
                "Update qupath-her2."
            )
        return tuple(Overlay(**entry) for entry in content["overlays"])
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{OVERLAYS} is damaged ({error}). Predict the image again with --force."
        ) from error


def blend_overlay(
    picture: NDArray[np.uint8], overlay: Overlay, png: bytes, scale: float, opacity: float = 0.6
) -> NDArray[np.uint8]:
    """Blend an overlay into a picture of its image.

    Parameters
    ----------
    picture
        uint8 (H, W, 3), RGB, of the image from its top-left corner; not changed.
    overlay
        Position of the overlay, level-0 pixels.
    png
        Content of its file.
    scale
        Picture pixels per level-0 pixel.
    opacity
        Weight of fully opaque overlay pixels, 0..1.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (H, W, 3), RGB.

    Raises
    ------
    OutputError
        If `png` is not a PNG with transparency.
    """
    drawn = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if drawn is None or drawn.ndim != 3 or drawn.shape[2] != 4:
        raise OutputError(
            f"'{overlay.file}' is not a PNG with transparency. Predict the image again with --force."
        )
    left, top = round(scale * overlay.x), round(scale * overlay.y)
    wide = max(1, round(scale * (overlay.x + overlay.width)) - left)
    high = max(1, round(scale * (overlay.y + overlay.height)) - top)
    # Premultiplied alpha: otherwise the colour of transparent pixels bleeds in when the overlay is resized.
    alpha = drawn[..., 3:].astype(np.float32) / 255
    weighted = np.concatenate([drawn[..., 2::-1] * alpha, alpha], axis=2)
    # Enlarged map pixels keep sharp edges: the reader should see the grid of patches, not a smooth surface.
    how = cv2.INTER_AREA if wide < drawn.shape[1] else cv2.INTER_NEAREST
    resized = cv2.resize(weighted, (wide, high), interpolation=how)
    mixed = picture.astype(np.float32)
    part = mixed[top : top + high, left : left + wide]
    # The last row and column of map pixels may extend beyond the image.
    resized = resized[: part.shape[0], : part.shape[1]]
    part[:] = part * (1 - opacity * resized[..., 3:]) + opacity * resized[..., :3]
    return cast("NDArray[np.uint8]", np.clip(np.rint(mixed), 0, 255).astype(np.uint8))
