"""The heat map of an indicator over a slide (Che et al. 2023, Figure 5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from qupath_her2.errors import ScoringError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.records import Box

__all__ = ["heat_map", "heat_map_png"]


def heat_map(boxes: Sequence[Box], values: Sequence[float]) -> NDArray[np.float32]:
    """Arrange the values of equal boxes as a grid, float32 (rows, columns), NaN where no patch lies."""
    if len(boxes) != len(values):
        raise ScoringError(f"{len(boxes)} boxes and {len(values)} values do not make a heat map.")
    columns = max((box.x // box.width for box in boxes), default=-1) + 1
    rows = max((box.y // box.height for box in boxes), default=-1) + 1
    grid = np.full((rows, columns), np.nan, np.float32)
    for box, value in zip(boxes, values, strict=True):
        grid[box.y // box.height, box.x // box.width] = value
    return grid


def heat_map_png(
    grid: NDArray[np.float32], cell_px: int = 16, top: float = 1.0, *, is_clear: bool = False
) -> bytes:
    """Draw a grid as a PNG, blue 0 to red `top`, transparent where it is NaN.

    Parameters
    ----------
    cell_px
        Side of a patch in the picture.
    top
        Value of the last colour; larger values take it too.
    is_clear
        Let what lies below show through, the more the lower the value.
    """
    if grid.size == 0 or not top > 0:
        raise ScoringError(f"A heat map needs patches and a top value above 0; got {grid.shape}, {top}.")
    known = np.isfinite(grid)
    level = np.clip(np.where(known, grid, 0) / top * 255, 0, 255).astype(np.uint8)
    colour = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2BGRA)
    colour[..., 3] = level if is_clear else np.where(known, 255, 0)
    size = (grid.shape[1] * cell_px, grid.shape[0] * cell_px)
    done, data = cv2.imencode(".png", cv2.resize(colour, size, interpolation=cv2.INTER_NEAREST))
    if not done:
        raise ScoringError(f"The heat map of {size[0]} x {size[1]} px could not be encoded.")
    return data.tobytes()
