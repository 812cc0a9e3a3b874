"""Contact sheets: patches in rows with a caption each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from qupath_her2.errors import OutputError
from qupath_her2.report.pictures import encode_jpeg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["contact_sheet", "paired_sheet"]

#: Height of a caption and distance between patches, px.
_TEXT_PX, _GAP_PX = 18, 6


def contact_sheet(
    patches: NDArray[np.uint8], captions: Sequence[str], *, columns: int = 6, side_px: int = 192
) -> bytes:
    """Return a JPEG of patches in rows, each with its caption below.

    Parameters
    ----------
    patches
        uint8 (N, H, W, 3), RGB, N at least 1.
    captions
        N short lines; characters outside ASCII become ``?``, since OpenCV's fonts lack them.
    columns
        Patches per row.
    side_px
        Side of a patch on the sheet, px.

    Returns
    -------
    bytes
        The JPEG.

    Raises
    ------
    OutputError
        If there is no patch, or the number of captions differs.
    """
    n = len(patches)
    if n == 0 or len(captions) != n:
        raise OutputError(
            f"A contact sheet needs at least one patch and a caption for each; got {n} patches and {len(captions)} "
            "captions."
        )
    columns = min(columns, n)
    rows = -(-n // columns)
    wide, high = side_px + _GAP_PX, side_px + _TEXT_PX + _GAP_PX
    sheet = np.full((rows * high + _GAP_PX, columns * wide + _GAP_PX, 3), 255, np.uint8)
    for number, (patch, caption) in enumerate(zip(patches, captions, strict=True)):
        top, left = _GAP_PX + number // columns * high, _GAP_PX + number % columns * wide
        shrinks = patch.shape[0] > side_px
        # Averaging avoids aliasing in shrunken patches; cubic interpolation keeps enlarged ones from looking blocky.
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        sheet[top : top + side_px, left : left + side_px] = cv2.resize(
            patch, (side_px, side_px), interpolation=how
        )
        text = caption.encode("ascii", "replace").decode()
        place = (left, top + side_px + _TEXT_PX - 5)
        cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return encode_jpeg(sheet)


def paired_sheet(
    pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    captions: Sequence[str],
    *,
    side_px: int = 192,
) -> bytes:
    """Return a JPEG of pairs of pictures, such as a patch and its heat map, three pairs per row.

    Parameters
    ----------
    pairs
        Pairs of uint8 (H, W, 3), RGB, all of the same size; at least one pair.
    captions
        One per pair, shown below its left picture.
    side_px
        Side of a picture on the sheet, px.

    Returns
    -------
    bytes
        The JPEG.

    Raises
    ------
    OutputError
        If there is no pair, or the number of captions differs.
    """
    pictures = [picture for pair in pairs for picture in pair]
    # An empty caption below the right picture of each pair, since a sheet has one per picture.
    texts = [text for caption in captions for text in (caption, "")]
    return contact_sheet(np.array(pictures, np.uint8), texts, columns=6, side_px=side_px)
