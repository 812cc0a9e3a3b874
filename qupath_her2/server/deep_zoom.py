"""Deep zoom of a job's slide: a pyramid of small JPEG tiles, cut when a viewer asks for them.

The Deep Zoom layout of OpenSeadragon: level L holds the slide at full size, each level below it half as wide and high,
down to one pixel; a tile overlaps its neighbours by `OVERLAP_PX`. Pixels come from the readers that scoring uses, so a
slide that was scored can be shown. Memory is bounded: a tile is read in bands, and levels far coarser than those that
the file holds are cut from one overview, which is kept.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from fastapi import APIRouter, Response

from qupath_her2.errors import ImageReadError
from qupath_her2.patches.pixels.slide_pool import SlidePool
from qupath_her2.project.exchange.runs import read_record
from qupath_her2.records import Box, SlideRef
from qupath_her2.report.pictures import encode_jpeg, read_overview
from qupath_her2.server.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from qupath_her2.server.job_files import FindJob
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["OVERLAP_PX", "TILE_PX", "SlideViews", "deep_zoom_router", "level_size", "top_level"]

#: With the overlap on both sides 512 px, the size of most slides' own tiles.
TILE_PX = 510
OVERLAP_PX = 1
_JPEG_QUALITY = 85
#: Open slides: four flat ones of the largest size that is read at all would take 1.2 GB.
_POOL_BYTES = 600_000_000
_OVERVIEW_PX = 4096
#: Overviews kept: 200 MB.
_OVERVIEWS = 4
#: Source pixels along a tile's pixel that are still read anew; beyond that the overview is cheaper.
_MOST_READ = 8
#: Source pixels in memory at a time: 48 MB.
_BAND_PX = 16_000_000

Overview = tuple["NDArray[np.uint8]", float]


def top_level(width: int, height: int) -> int:
    """Return the number of the level that holds a slide of this size, px, at full size; level 0 is one pixel."""
    return (max(width, height) - 1).bit_length()


def level_size(width: int, height: int, level: int) -> tuple[int, int]:
    """Return width and height of a level, px.

    Parameters
    ----------
    width, height
        Size of the slide, level-0 px.
    level
        Level of the deep zoom, 0 to `top_level`.

    Returns
    -------
    tuple[int, int]
        At least 1 x 1.
    """
    step = 1 << (top_level(width, height) - level)
    return -(-width // step), -(-height // step)


def _tile_box(size: tuple[int, int], column: int, row: int) -> Box | None:
    """Return a tile's place in its level of that size, px of the level; None where there is no such tile."""
    left, top = column * TILE_PX, row * TILE_PX
    if not (0 <= left < size[0] and 0 <= top < size[1]):
        return None
    x, y = max(0, left - OVERLAP_PX), max(0, top - OVERLAP_PX)
    right = min(size[0], left + TILE_PX + OVERLAP_PX)
    bottom = min(size[1], top + TILE_PX + OVERLAP_PX)
    return Box(x, y, right - x, bottom - y)


def _source_level(slide: Slide, step: int) -> int:
    """Return the coarsest level of a slide that is fine enough for pixels of `step` level-0 px."""
    return max(n for n, downsample in enumerate(slide.level_downsamples) if downsample <= step)


def _read_tile(slide: Slide, box: Box, step: int) -> NDArray[np.uint8]:
    """Return the pixels of a tile, `box` in pixels of its level of `step` level-0 px, averaged from a finer level."""
    source = _source_level(slide, step)
    downsample = slide.level_downsamples[source]
    factor = step / downsample
    wide, high = slide.level_dimensions[source]
    # The last tile of a level ends within a pixel of it: beyond the slide there is only white.
    left, right = round(box.x * factor), min(wide, max(1, round((box.x + box.width) * factor)))
    left = min(left, right - 1)
    rows_at_once = max(1, int(_BAND_PX / (max(1, right - left) * factor)))
    out = np.empty((box.height, box.width, 3), np.uint8)
    for row in range(0, box.height, rows_at_once):
        count = min(rows_at_once, box.height - row)
        bottom = min(high, max(1, round((box.y + row + count) * factor)))
        top = min(round((box.y + row) * factor), bottom - 1)
        x, y = round(left * downsample), round(top * downsample)
        band = slide.read(x, y, right - left, bottom - top, source)
        out[row : row + count] = cv2.resize(band, (box.width, count), interpolation=cv2.INTER_AREA)
    return out


def _cut_tile(overview: Overview, box: Box, step: int) -> NDArray[np.uint8]:
    """Return the pixels of a tile as part of an overview, which has its own scale, pixels per level-0 px."""
    picture, scale = overview
    factor = step * scale
    right = min(picture.shape[1], max(1, round((box.x + box.width) * factor)))
    bottom = min(picture.shape[0], max(1, round((box.y + box.height) * factor)))
    left, top = min(round(box.x * factor), right - 1), min(round(box.y * factor), bottom - 1)
    part = picture[top:bottom, left:right]
    return cast("NDArray[np.uint8]", cv2.resize(part, (box.width, box.height), interpolation=cv2.INTER_AREA))


class SlideViews:
    """The slides of jobs, open while somebody looks at them.

    Parameters
    ----------
    find
        Finds the files of a job.
    """

    def __init__(self, find: FindJob) -> None:
        self._find = find
        self._images: list[SlideRef] = []
        self._index: dict[str, int] = {}
        self._pool = SlidePool(self._images, _POOL_BYTES)
        self._overviews: OrderedDict[int, Overview] = OrderedDict()
        self._lock = Lock()
        self._drawing = Lock()

    def size(self, job_id: str) -> tuple[int, int]:
        """Return width and height of a job's slide, level-0 px; Problem 404, or 422 where it cannot be read."""
        with self._open(self._at(job_id)) as slide:
            return slide.width, slide.height

    def tile(self, job_id: str, level: int, column: int, row: int) -> NDArray[np.uint8]:
        """Return the pixels of a tile.

        Parameters
        ----------
        job_id
            The job.
        level
            0 to `top_level`.
        column, row
            Number of the tile in its level.

        Returns
        -------
        NDArray[np.uint8]
            uint8 (H, W, 3), RGB, at most `TILE_PX` with the overlap on both sides.

        Raises
        ------
        Problem
            404 for an unknown job, or where there is no such tile; 422 where the slide cannot be read.
        """
        index = self._at(job_id)
        with self._open(index) as slide:
            top = top_level(slide.width, slide.height)
            box = None
            if 0 <= level <= top:
                box = _tile_box(level_size(slide.width, slide.height, level), column, row)
            if box is None:
                raise Problem(
                    404,
                    f"The slide has no tile {column}, {row} on level {level}.",
                    f"Levels are 0 to {top}.",
                )
            step = 1 << (top - level)
            if step > _MOST_READ * slide.level_downsamples[_source_level(slide, step)]:
                overview = self._overview(index, slide)
                if step * overview[1] >= 1:
                    return _cut_tile(overview, box, step)
            return _read_tile(slide, box, step)

    def release(self, job_id: str) -> None:
        """Close a job's slide once nobody reads from it, before its file is deleted."""
        with self._lock:
            index = self._index.pop(job_id, None)
            if index is not None:
                self._overviews.pop(index, None)
        if index is not None:
            self._pool.forget(index)

    def close(self) -> None:
        """Close all slides."""
        self._pool.close()

    @contextmanager
    def _open(self, index: int) -> Iterator[Slide]:
        try:
            with self._pool.lease(index) as slide:
                yield slide
        except ImageReadError as error:
            raise Problem(422, str(error)) from error

    def _at(self, job_id: str) -> int:
        """Return the number of a job's slide in the pool."""
        # Asked each time: a deleted job must not be shown from what is still open.
        files = self._find(job_id)
        with self._lock:
            known = self._index.get(job_id)
        if known is not None:
            return known
        image = {} if files.run_dir is None else read_record(files.run_dir).image
        ref = SlideRef(job_id, files.name, files.slide, chain=tuple(image.get("chain") or ()))
        with self._lock:
            if job_id not in self._index:
                self._images.append(ref)
                self._index[job_id] = len(self._images) - 1
            return self._index[job_id]

    def _overview(self, index: int, slide: Slide) -> Overview:
        # One at a time: the first tiles of a viewer all need it, and each would read the whole slide.
        with self._drawing:
            found = self._overviews.get(index)
            if found is None:
                picture, frame = read_overview(slide, _OVERVIEW_PX)
                found = self._overviews[index] = picture, frame.scale
            self._overviews.move_to_end(index)
            while len(self._overviews) > _OVERVIEWS:
                self._overviews.popitem(last=False)
            return found


def deep_zoom_router(views: SlideViews) -> APIRouter:
    """Return the routes ``slide.dzi`` and ``slide_files/LEVEL/COLUMN_ROW.jpeg`` of a job."""
    router = APIRouter(prefix="/api/v1/jobs/{job_id}", tags=["slide"])

    @router.get("/slide.dzi", response_class=Response, responses={200: {"content": {"application/xml": {}}}})
    def describe(job_id: str) -> Response:
        """Return the size of the slide and of its tiles, as Deep Zoom XML."""
        width, height = views.size(job_id)
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f'<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" Format="jpeg" Overlap="{OVERLAP_PX}" '
            f'TileSize="{TILE_PX}"><Size Width="{width}" Height="{height}"/></Image>'
        )
        return Response(xml, media_type="application/xml")

    @router.get(
        "/slide_files/{level}/{column}_{row}.jpeg",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}},
    )
    def tile(job_id: str, level: int, column: int, row: int) -> Response:
        """Return one tile of the slide."""
        pixels = views.tile(job_id, level, column, row)
        # A job's slide never changes: the browser need not ask twice while it is open.
        headers = {"Cache-Control": "private, max-age=3600"}
        return Response(encode_jpeg(pixels, _JPEG_QUALITY), media_type="image/jpeg", headers=headers)

    return router
