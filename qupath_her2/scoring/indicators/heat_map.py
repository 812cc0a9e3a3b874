"""Heat maps over a slide: the grid of patch values, and its picture (Che et al. 2023, Figure 5)."""

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
    """Arrange the values of boxes of equal size as a grid, float32 (rows, columns), NaN without a patch."""
    if len(boxes) != len(values):
        raise ScoringError(
            f"A heat map needs one value per box; got {len(boxes)} boxes and {len(values)} values."
        )
    columns = max((box.x // box.width for box in boxes), default=-1) + 1
    rows = max((box.y // box.height for box in boxes), default=-1) + 1
    grid = np.full((rows, columns), np.nan, np.float32)
    for box, value in zip(boxes, values, strict=True):
        grid[box.y // box.height, box.x // box.width] = value
    return grid


def heat_map_png(
    grid: NDArray[np.float32], cell_px: int = 16, top: float = 1.0, *, opacity_by_value: bool = False
) -> bytes:
    """Draw a grid as a PNG, from blue (0) to red (`top`), transparent where it is NaN.

    Parameters
    ----------
    grid
        float32 (rows, columns), from `heat_map`.
    cell_px
        Side of a grid cell in the picture, px.
    top
        Value of the last colour; larger values get the same colour.
    opacity_by_value
        Opacity follows the value, so that low values let the slide show through.

    Returns
    -------
    bytes
        PNG with an alpha channel, (rows * cell_px, columns * cell_px).

    Raises
    ------
    ScoringError
        The grid is empty or `top` is not positive.
    """
    if grid.size == 0 or not top > 0:
        raise ScoringError(
            f"A heat map needs patches and a top value above 0; got shape {grid.shape} and {top}."
        )
    known = np.isfinite(grid)
    level = np.clip(np.where(known, grid, 0) / top * 255, 0, 255).astype(np.uint8)
    colour = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2BGRA)
    colour[..., 3] = level if opacity_by_value else np.where(known, 255, 0)
    # Nearest neighbour: interpolation would bleed into cells that have no patch.
    size = (grid.shape[1] * cell_px, grid.shape[0] * cell_px)
    done, data = cv2.imencode(".png", cv2.resize(colour, size, interpolation=cv2.INTER_NEAREST))
    if not done:
        raise ScoringError(f"Cannot encode the heat map of {size[0]} x {size[1]} px as PNG.")
    return data.tobytes()
