"""Registration picture: two registered slides side by side, to check the registration by eye."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from shapely import box as rectangle

from qupath_her2.records import Box
from qupath_her2.report.overlay import Frame, draw_regions
from qupath_her2.report.pictures import read_overview
from qupath_her2.slides.registration.transfer import transfer_geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qupath_her2.records import Region
    from qupath_her2.slides.readers.slide import Slide
    from qupath_her2.slides.registration.record import Registration

__all__ = ["registration_picture"]

#: Squares along the longer side of the checkerboard.
_SQUARES = 8
_GAP_PX = 6


def registration_picture(
    fixed: Slide,
    moving: Slide,
    registration: Registration,
    regions: Sequence[Region] = (),
    *,
    box: Box | None = None,
    max_side_px: int = 900,
) -> NDArray[np.uint8]:
    """Draw three panels of the same area: the fixed slide, the moving slide warped onto it, and a checkerboard of both.

    If the registration is right, structures continue across the squares, and each outline encloses the same tissue in
    every panel.

    Parameters
    ----------
    fixed, moving
        The open slides.
    registration
        Result of `register_slides` for these two, in this order.
    regions
        Regions in level-0 px of the fixed slide; drawn on every panel.
    box
        Part of the fixed slide to show, level-0 px; None shows all of it.
    max_side_px
        Longest side of a panel, px.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (H, 3 W + 12, 3), RGB.

    Raises
    ------
    ImageReadError
        If a slide cannot be read.
    """
    part = box or Box(0, 0, fixed.width, fixed.height)
    left, frame = read_overview(fixed, max_side_px, part)
    warped = _warp_to_fixed(moving, registration, part, frame, left.shape, max_side_px)
    # The board is made first: squares of it are copies, so outlines drawn on one panel do not show on another.
    panels = [left, warped, _checkerboard(left, warped)]
    for panel in panels:
        draw_regions(panel, regions, frame, thickness_px=2)
    gap = np.full((left.shape[0], _GAP_PX, 3), 255, np.uint8)
    return np.hstack([panels[0], gap, panels[1], gap, panels[2]])


def _warp_to_fixed(
    moving: Slide,
    registration: Registration,
    part: Box,
    frame: Frame,
    shape: tuple[int, ...],
    max_side_px: int,
) -> NDArray[np.uint8]:
    """Return the moving slide resampled to the pixels of the fixed slide's picture; white where there is none."""
    # Only the part of the moving slide under the picture is read.
    there = transfer_geometry(rectangle(*_corners(part)), registration, "to moving")
    x0, y0, x1, y1 = there.intersection(rectangle(0, 0, moving.width, moving.height)).bounds or (0, 0, 0, 0)
    if not (x1 - x0 >= 1 and y1 - y0 >= 1):
        return np.full(shape, 255, np.uint8)
    # The bounding box of a rotated rectangle is larger: more pixels keep the panel as sharp as its neighbour.
    picture, own = read_overview(
        moving,
        round(1.5 * max_side_px),
        Box(int(x0), int(y0), max(1, int(x1) - int(x0)), max(1, int(y1) - int(y0))),
    )
    a, b, c, d, e, f = registration.matrix
    to_moving = np.array([[a, b, e], [c, d, f], [0, 0, 1]])
    matrix = _to_picture(own) @ to_moving @ np.linalg.inv(_to_picture(frame))
    warped = cv2.warpAffine(
        picture,
        matrix[:2],
        shape[1::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(255, 255, 255),
    )
    return cast("NDArray[np.uint8]", warped)


def _corners(part: Box) -> tuple[float, float, float, float]:
    return part.x, part.y, part.x + part.width, part.y + part.height


def _to_picture(frame: Frame) -> NDArray[np.float64]:
    """Return float64 (3, 3), from level-0 coordinates to picture pixel indices (pixel centres at whole numbers)."""
    s = frame.scale
    return np.array([[s, 0, -frame.x * s - 0.5], [0, s, -frame.y * s - 0.5], [0, 0, 1]])


def _checkerboard(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    high, wide = one.shape[:2]
    side = max(1, max(high, wide) // _SQUARES)
    odd = (np.arange(high)[:, None] // side + np.arange(wide) // side) % 2 == 1
    return np.where(odd[..., None], other, one)
