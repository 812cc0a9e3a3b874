"""Segmentation of whole slides: class probabilities of every pixel, in bounded memory and without seams.

A pixel is covered by the same windows in whatever tile it is requested (see `windows`), so that tiles agree up to the
last digits of floating-point sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import ModelError
from qupath_her2.learning.segmentation.pixel_network import PixelNetwork
from qupath_her2.learning.segmentation.windows import reflected_indices
from qupath_her2.models.card import ModelCard
from qupath_her2.models.pixel_map import PixelMap
from qupath_her2.patches.targets.targets import BACKGROUND
from qupath_her2.records import Box
from qupath_her2.slides.readers.slide import Slide, read_scaled

__all__ = ["SCALE_TOLERANCE", "SlideSegmenter", "network_downsample"]

#: Slides are read at multiples of 1/8 of their scale: largest relative difference from the network's scale.
SCALE_TOLERANCE = 0.065

_STEPS = 8


def network_downsample(pixel_size_um: float, card: ModelCard) -> float | None:
    """Return the factor by which a slide is downsampled for a network.

    Parameters
    ----------
    pixel_size_um
        Pixel size of level 0, µm.
    card
        Card with the scale the network was trained at.

    Returns
    -------
    float or None
        A multiple of 1/8, at least 1; None if the slide's pixels are too coarse.
    """
    # At least 1: enlarging pixels adds no detail that the network was trained on.
    downsample = max(_STEPS, round(_STEPS * card.pixel_size_um / pixel_size_um)) / _STEPS
    off = abs(pixel_size_um * downsample / card.pixel_size_um - 1)
    return downsample if off <= SCALE_TOLERANCE else None


class SlideSegmenter:
    """Segmentation of one slide, in network pixels from its top left corner.

    Attributes
    ----------
    downsample
        Level-0 pixels per network pixel.
    um_px
        Size of a network pixel, µm.
    """

    def __init__(self, network: PixelNetwork, slide: Slide, pixel_size_um: float) -> None:
        downsample = network_downsample(pixel_size_um, network.card)
        if downsample is None:
            raise ModelError(
                f"'{slide.path.name}' has pixels of {pixel_size_um:g} µm, too coarse for model "
                f"'{network.card.model}', which was trained at {network.card.pixel_size_um:g} µm/px. Use a finer "
                "scan, or a network trained at this scale."
            )
        self.downsample = downsample
        self.um_px = pixel_size_um * downsample
        self._network, self._slide = network, slide
        self._size = [max(1, math.floor(side / downsample)) for side in (slide.width, slide.height)]

    def segment(self, box: Box) -> PixelMap:
        """Segment a box.

        Parameters
        ----------
        box
            In network pixels; its part outside the image is background.

        Returns
        -------
        PixelMap
            Of the box's size. About 15 bytes per pixel are needed to compute it.
        """
        width, height = self._size
        x, y = max(box.x, 0), max(box.y, 0)
        inside = Box(x, y, min(box.x + box.width, width) - x, min(box.y + box.height, height) - y)
        probabilities = np.zeros((box.height, box.width, len(self._network.card.class_names)), np.uint8)
        # Outside the image there are no cells.
        probabilities[..., BACKGROUND] = 255
        uncertainty = np.zeros(probabilities.shape[:2], np.uint8) if self._network.is_bayesian else None
        if min(inside.width, inside.height) < 1:
            return PixelMap(probabilities, uncertainty)
        lattice = self._network.lattice
        columns, rows = lattice.covering(x, x + inside.width), lattice.covering(y, y + inside.height)
        found = self._network.blend(self._window_pixels(columns, rows), inside, columns, rows)
        place = (slice(y - box.y, y - box.y + inside.height), slice(x - box.x, x - box.x + inside.width))
        probabilities[place] = found.probabilities
        if uncertainty is not None and found.uncertainty is not None:
            uncertainty[place] = found.uncertainty
        return PixelMap(probabilities, uncertainty)

    def tiles(self, tile_px: int = 2048) -> Iterator[tuple[Box, PixelMap]]:
        """Segment the whole slide tile by tile, row by row, with one tile in memory at a time.

        Parameters
        ----------
        tile_px
            Side of a tile, network pixels; the maps do not depend on it.

        Yields
        ------
        box
            The tile, network pixels.
        pixel_map
            Its class probabilities.
        """
        width, height = self._size
        for y in range(0, height, tile_px):
            for x in range(0, width, tile_px):
                box = Box(x, y, min(tile_px, width - x), min(tile_px, height - y))
                yield box, self.segment(box)

    def _window_pixels(self, columns: range, rows: range) -> NDArray[np.uint8]:
        """Read the pixels of all windows of a box at once, uint8 RGB, reflected beyond the edges."""
        lattice = self._network.lattice
        places = []
        for windows, size in zip((columns, rows), self._size, strict=True):
            low, high = windows.start * lattice.stride, windows[-1] * lattice.stride + lattice.side
            places.append(reflected_indices(low, high, size))
        # Downsampled grids coincide only if reading starts at a multiple of 8 pixels.
        x, y = (int(place.min()) // _STEPS * _STEPS for place in places)
        width, height = int(places[0].max()) + 1 - x, int(places[1].max()) + 1 - y
        # Reflected indices repeat pixels that were read once.
        d = self.downsample
        rgb = read_scaled(self._slide, round(x * d), round(y * d), width, height, d)
        image: NDArray[np.uint8] = rgb[np.ix_(places[1] - y, places[0] - x)]
        return image
