"""Patches side by side with a line of text each, to be looked at."""

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

_TEXT_PX, _GAP_PX = 18, 6


def contact_sheet(
    patches: NDArray[np.uint8], captions: Sequence[str], *, columns: int = 6, side_px: int = 192
) -> bytes:
    """Return a JPEG of patches in rows, each with its caption below.

    Parameters
    ----------
    patches
        uint8 (N, H, W, 3) RGB, N at least 1.
    captions
        N short lines; signs outside ASCII become ``?``, which OpenCV's letters lack.
    columns
        Patches in a row.
    side_px
        Side of a patch on the sheet.

    Raises
    ------
    OutputError
        No patch, or another number of captions.
    """
    n = len(patches)
    if n == 0 or len(captions) != n:
        raise OutputError(f"{n} patches and {len(captions)} captions make no contact sheet.")
    columns = min(columns, n)
    rows = -(-n // columns)
    wide, high = side_px + _GAP_PX, side_px + _TEXT_PX + _GAP_PX
    sheet = np.full((rows * high + _GAP_PX, columns * wide + _GAP_PX, 3), 255, np.uint8)
    for number, (patch, caption) in enumerate(zip(patches, captions, strict=True)):
        top, left = _GAP_PX + number // columns * high, _GAP_PX + number % columns * wide
        shrinks = patch.shape[0] > side_px
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
    """Return a JPEG of patches, each beside what was drawn on it, three pairs in a row.

    Parameters
    ----------
    pairs
        Two uint8 (H, W, 3) RGB each, all of one size; at least one pair.
    captions
        One a pair, below its left picture.
    side_px
        Side of a patch on the sheet.

    Raises
    ------
    OutputError
        As of `contact_sheet`.
    """
    pictures = [picture for pair in pairs for picture in pair]
    texts = [text for caption in captions for text in (caption, "")]
    return contact_sheet(np.array(pictures, np.uint8), texts, columns=6, side_px=side_px)
