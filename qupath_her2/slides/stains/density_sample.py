"""Sample of a slide's tissue as optical densities, from which its stain vectors are estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qupath_her2.slides.readers.slide import read_scaled
from qupath_her2.slides.stains.vectors import optical_density

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qupath_her2.slides.readers.slide import Slide
    from qupath_her2.slides.tissue import Tissue

__all__ = ["sample_tissue"]

_WINDOWS = 12
_WINDOW_PX = 256
#: At most so many pixels per image, so that a whole slide costs no more than a core.
_PIXELS_AN_IMAGE = 40_000


def sample_tissue(slide: Slide, tissue: Tissue, pixel_size_um: float | None) -> NDArray[np.float32]:
    """Return optical densities of tissue against the image's own glass, float32 (N, 3), evenly spread.

    Windows at about 1 µm per pixel, at even steps through the tissue mask: no random numbers, so the same image always
    gives the same pixels.

    Parameters
    ----------
    slide
        The open image.
    tissue
        Its tissue mask and glass colour.
    pixel_size_um
        µm per level-0 pixel; None samples at level 0.

    Returns
    -------
    NDArray[np.float32]
        At most `_PIXELS_AN_IMAGE` rows of R, G, B.
    """
    where = np.flatnonzero(tissue.mask)
    if len(where) == 0:
        return np.empty((0, 3), np.float32)
    downsample = float(max(1, int(1.0 / pixel_size_um))) if pixel_size_um else 1.0
    half = _WINDOW_PX * downsample / 2
    picked = where[np.linspace(0, len(where) - 1, min(_WINDOWS, len(where))).astype(np.int64)]
    densities = []
    for flat in picked:
        row, column = divmod(int(flat), tissue.mask.shape[1])
        x, y = (round((place + 0.5) * tissue.downsample - half) for place in (column, row))
        rgb = read_scaled(slide, x, y, _WINDOW_PX, _WINDOW_PX, downsample)
        densities.append(optical_density(rgb, tissue.background_rgb).reshape(-1, 3))
    pixels: NDArray[np.float32] = np.concatenate(densities)
    # Glass in the windows carries no stain and would only dilute the sample.
    pixels = pixels[pixels.sum(axis=1) > 0.15]
    sample: NDArray[np.float32] = pixels[:: max(1, len(pixels) // _PIXELS_AN_IMAGE)]
    return sample
