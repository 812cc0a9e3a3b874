"""Pictures of one image: overview, overlay of counted cells, and typical cells of each class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from qupath_her2.errors import OutputError
from qupath_her2.records import Box
from qupath_her2.report.overlay import Frame, draw_cells, draw_cut, draw_patches, draw_regions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qupath_her2.records import CellTable, CutArea, PatchTable, Region
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["draw_overlay", "encode_jpeg", "read_overview", "shrink_jpeg", "typical_cells", "typical_strips"]

#: Largest number of pixels in memory per band of an overview.
_BAND_PX = 16_000_000


def encode_jpeg(rgb: NDArray[np.uint8], quality: int = 88) -> bytes:
    """Encode uint8 (H, W, 3) RGB as JPEG, without any metadata."""
    # cv2 writes no EXIF, time or software tag, so the same pixels give the same bytes.
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise OutputError(
            f"A picture of {rgb.shape[1]} x {rgb.shape[0]} px cannot be encoded as JPEG. Draw it at a smaller size."
        )
    return data.tobytes()


def shrink_jpeg(data: bytes, max_side_px: int, quality: int = 82) -> bytes:
    """Shrink a JPEG to at most `max_side_px`; a smaller one is returned unchanged.

    Parameters
    ----------
    data
        Content of a JPEG file.
    max_side_px
        Longest side of the result, px.
    quality
        JPEG quality of the result, 1..100.

    Returns
    -------
    bytes
        The JPEG.

    Raises
    ------
    OutputError
        If `data` is not a JPEG.
    """
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise OutputError(
            "The overlay.jpg of the run is not a valid JPEG. Score the image again with --force (run or predict)."
        )
    factor = max_side_px / max(bgr.shape[:2])
    if factor >= 1:
        return data
    size = (max(1, round(bgr.shape[1] * factor)), max(1, round(bgr.shape[0] * factor)))
    small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
    return encode_jpeg(cast("NDArray[np.uint8]", cv2.cvtColor(small, cv2.COLOR_BGR2RGB)), quality)


def read_overview(slide: Slide, max_side_px: int, box: Box | None = None) -> tuple[NDArray[np.uint8], Frame]:
    """Read a part of an image, area-averaged to at most `max_side_px`.

    Parameters
    ----------
    slide
        The open image.
    max_side_px
        Longest side of the result, px.
    box
        Part to read, level-0 pixels; None takes the whole image.

    Returns
    -------
    tuple[NDArray[np.uint8], Frame]
        uint8 (H, W, 3), RGB, and its position and scale.

    Raises
    ------
    ImageReadError
        If the file cannot be read.
    """
    x, y, width, height = box or Box(0, 0, slide.width, slide.height)
    wanted = max(1.0, max(width, height) / max_side_px)
    level = max(n for n, downsample in enumerate(slide.level_downsamples) if downsample <= wanted)
    level_step = slide.level_downsamples[level]
    # Rounded up to a whole number: bands join without seams, and the result never exceeds the requested size.
    factor = math.ceil(wanted / level_step)
    step = level_step * factor
    # Snapped to the level's pixel grid, as the reader does, so that drawings line up with the picture.
    left, top = (math.floor(value / level_step + 0.5) * level_step for value in (x, y))
    columns, rows = max(1, math.floor(width / step)), max(1, math.floor(height / step))
    # Band by band, for a flat slide of gigapixels has no coarser level to read instead.
    rows_at_once = max(1, _BAND_PX // (columns * factor * factor))
    bands = []
    for row in range(0, rows, rows_at_once):
        count = min(rows_at_once, rows - row)
        band = slide.read(round(left), round(top + row * step), columns * factor, count * factor, level)
        bands.append(cv2.resize(band, (columns, count), interpolation=cv2.INTER_AREA))
    return cast("NDArray[np.uint8]", np.vstack(bands)), Frame(left, top, 1 / step)


def draw_overlay(
    slide: Slide,
    table: CellTable,
    regions: Sequence[Region],
    *,
    patches: PatchTable | None = None,
    cut: Sequence[CutArea] = (),
    max_side_px: int = 3000,
) -> NDArray[np.uint8]:
    """Draw the part of an image around its tumour regions, with the counted cells in QuPath's class colours.

    Parameters
    ----------
    slide
        The open image.
    table
        The cells, classified.
    regions
        Regions of every role; without a tumour region the whole image is drawn.
    patches
        Patches to tint in the colours of their classes; None for cells only.
    cut
        Areas that were cut out, in a colour of their own.
    max_side_px
        Longest side of the picture, px.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (H, W, 3), RGB.

    Raises
    ------
    ImageReadError
        If the file cannot be read.
    """
    picture, frame = read_overview(slide, max_side_px, _around(slide, regions))
    if patches is not None:
        draw_patches(picture, patches, frame)
    draw_cut(picture, cut, frame)
    # Thin lines: a two-pixel line would hide the membrane below it, which is about as wide.
    draw_cells(picture, table, frame, thickness_px=1)
    draw_regions(picture, regions, frame, thickness_px=max(2, round(max(picture.shape) / 1000)))
    return picture


def _around(slide: Slide, regions: Sequence[Region]) -> Box | None:
    """Return the bounding box of the tumour regions with a margin of 4 %, clipped to the image; None without any."""
    bounds = [region.geometry.bounds for region in regions if region.role == "tumour"]
    if not bounds:
        return None
    left, top = (min(values) for values in zip(*[b[:2] for b in bounds], strict=True))
    right, bottom = (max(values) for values in zip(*[b[2:] for b in bounds], strict=True))
    margin = 0.04 * max(right - left, bottom - top)
    x, y = max(0, math.floor(left - margin)), max(0, math.floor(top - margin))
    return Box(
        x,
        y,
        max(1, min(slide.width, math.ceil(right + margin)) - x),
        max(1, min(slide.height, math.ceil(bottom + margin)) - y),
    )


def typical_cells(table: CellTable, code: int, n: int = 8) -> NDArray[np.int64]:
    """Return the `n` cells of a class that are closest to the median of the class.

    The distance is the mean, over measurements, of the absolute deviation from the class median in units of the median
    absolute deviation; measurements that a cell lacks are left out of its mean.

    Parameters
    ----------
    table
        The cells, classified and measured.
    code
        Index of the class in `table.class_names`.
    n
        Number of cells.

    Returns
    -------
    NDArray[np.int64]
        int64 (k,), k <= n, indices of cells, closest first; ties in order of index.
    """
    of_class = np.flatnonzero(table.cell_class == code)
    values = table.measurements[of_class].astype(np.float64)
    filled = values.shape[1] > 0 and np.isfinite(values).any(axis=0)
    if len(of_class) <= n or not np.any(filled):
        return of_class[:n]
    values = values[:, filled]
    deviation = np.abs(values - np.nanmedian(values, axis=0))
    spread = np.nanmedian(deviation, axis=0)
    # A measurement that is equal in at least half of the cells has no spread: its deviations count as they are.
    spread[spread == 0] = 1.0
    scaled = deviation / spread
    measured = np.isfinite(scaled)
    distance = np.where(measured, scaled, 0.0).sum(axis=1) / np.maximum(measured.sum(axis=1), 1)
    distance[~measured.any(axis=1)] = np.inf
    return of_class[np.argsort(distance, kind="stable")[:n]]


def typical_strips(
    slide: Slide,
    table: CellTable,
    pixel_size_um: float,
    *,
    n: int = 8,
    window_um: float = 24.0,
    side_px: int = 132,
) -> dict[str, bytes]:
    """Draw a strip of typical cells for each class, at full resolution, and below them the same with outlines.

    Parameters
    ----------
    slide
        The open image.
    table
        The cells, classified.
    pixel_size_um
        µm per level-0 pixel.
    n
        Cells per strip.
    window_um
        Side of the crop around a cell, µm.
    side_px
        Side of the crop on the picture, px.

    Returns
    -------
    dict[str, bytes]
        {class name: JPEG}; classes without cells are left out.

    Raises
    ------
    ImageReadError
        If the file cannot be read.
    """
    strips: dict[str, bytes] = {}
    # The same width in µm on every slide, so that cells of different scanners can be compared by eye.
    side_level0 = max(8, round(window_um / pixel_size_um))
    for code, name in enumerate(table.class_names):
        cells = typical_cells(table, code, n)
        if len(cells) == 0:
            continue
        strip = np.full((2 * side_px + 4, n * (side_px + 4) - 4, 3), 255, np.uint8)
        for column, cell in enumerate(cells):
            plain, outlined = _crop(slide, table, int(cell), side_level0, side_px)
            left = column * (side_px + 4)
            strip[:side_px, left : left + side_px] = plain
            strip[side_px + 4 :, left : left + side_px] = outlined
        strips[name] = encode_jpeg(strip)
    return strips


def _crop(
    slide: Slide, table: CellTable, cell: int, side_level0: int, side_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the enlarged crop around a cell without and with outlines, each uint8 (side, side, 3)."""
    x, y = (math.floor(value - side_level0 / 2 + 0.5) for value in table.centroid_xy[cell])
    pixels = slide.read(x, y, side_level0, side_level0)
    # Cubic, for the eye only: nothing is measured on enlarged pixels.
    enlarged = cv2.resize(pixels, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    plain = cast("NDArray[np.uint8]", enlarged)
    outlined = plain.copy()
    only = np.zeros(len(table), bool)
    only[cell] = True
    draw_cells(outlined, table, Frame(x, y, side_px / side_level0), only=only, with_nuclei=True)
    return plain, outlined
