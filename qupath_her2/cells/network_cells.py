"""Cells from a network's probability maps of nucleus and membrane.

Nuclei grow into territories at a price for crossing membrane (`territory`): borders lie inside the membrane between two
cells, and half-way where there is none. Within its territory the outline of a cell is the closed path along the most
probable membrane, as classical outlines follow the DAB ridge, with the same expected distances where there is no
membrane. The cells are then measured and scored by the same code as those of the classical detector.

Where a network tells nuclei of tumour cells from all others, the others (stroma, lymphocytes) can be left out: they
still bound the tumour cells beside them, but are no cells themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.grid import Grid
from qupath_her2.cells.membrane.outlines import N_SECTORS, Outlines, OutlineSettings, outline_in_territories
from qupath_her2.cells.membrane.territory import STRAIGHT_STEP, UNOWNED, grow_territories
from qupath_her2.cells.nuclei.contours import N_ANGLES
from qupath_her2.cells.nuclei.detection import Nuclei
from qupath_her2.cells.nuclei.network_nuclei import NucleusMapSettings, nuclei_from_map
from qupath_her2.cells.nuclei.star_contours import mean_within
from qupath_her2.cells.stain_planes import Plane
from qupath_her2.models.pixel_map import LARGEST_DEVIATION, PixelMap
from qupath_her2.patches.targets.targets import MEMBRANE, NUCLEUS, OTHER_NUCLEUS
from qupath_her2.records import Box
from qupath_her2.setting_ranges import Density, Range, Share, check_settings

__all__ = ["ClassMap", "NetworkCellSettings", "NetworkCells", "cells_from_map", "network_cells_in_tile"]

#: Prices are integers; this is the price of a step where the probability of membrane is 0.
_PER_PX = 8

#: Width of certain membrane (probability 1) that growth can cross, µm: about to the middle of a membrane.
_CROSSED_UM = 0.5


class ClassMap(Protocol):
    """Source of probability maps of an image, such as `learning.segmentation.slide_segmenter.SlideSegmenter`.

    Attributes
    ----------
    downsample
        Level-0 pixels per pixel of the map.
    um_px
        Pixel size of the map, µm.
    """

    @property
    def downsample(self) -> float: ...  # noqa: D102
    @property
    def um_px(self) -> float: ...  # noqa: D102

    def segment(self, box: Box) -> PixelMap:
        """Return the class probabilities within a box, and the uncertainty of a Bayesian network.

        Parameters
        ----------
        box
            Pixels of the map, counted from the image's corner; may extend beyond the image.

        Returns
        -------
        PixelMap
            Of the size of `box`.
        """
        ...


@dataclass(frozen=True, slots=True)
class NetworkCellSettings:
    """Settings of the conversion of probability maps to cells.

    Attributes
    ----------
    work_um_px
        Pixel size to which maps are averaged first, µm, the working grid of the classical detector.
    membrane_price
        Additional price of certain membrane (probability 1), in multiples of the price of no membrane.
    ridge_od
        DAB ridge that a certain membrane corresponds to in the prices of `OutlineSettings`, OD.
    outlines
        Reach and prices of outlines. Membranes already bound the territories here, so crossing one costs less than in
        the classical chain, and leaving the expected position costs more.
    nuclei
        Criteria for nuclei.
    min_tumour_share
        A nucleus is that of a tumour cell where the network gives at least this share of its nuclear probability to
        tumour cells. 0, the default, keeps the cells of all nuclei, like the classical detector: on real tissue the
        network of the package loses tumour cells by it, those of a dark 3+ nest among them (of 363 marked nuclei of
        four gastric cores 298 are found at 0, 245 at 0.05, 226 at 0.3), for 70 % fewer stromal and doubtful nuclei at
        0.05 (six crops of breast fields).
    """

    work_um_px: Annotated[float, Range(0.1, 2, "µm")] = 0.5
    membrane_price: Annotated[float, Range(0, 1000)] = 20.0
    ridge_od: Density = 0.15
    outlines: OutlineSettings = field(
        default_factory=lambda: OutlineSettings(crossing_weight=0.3, place_price_od_um=0.03)
    )
    nuclei: NucleusMapSettings = field(default_factory=NucleusMapSettings)
    min_tumour_share: Share = 0.0

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class NetworkCells:
    """Cells of a tile from a network's probability maps.

    Attributes
    ----------
    nuclei, outlines
        N nuclei and the outlines of their cells, working pixels from the corner of the segmented box.
    uncertainty
        float32 (N), the uncertainty of a Bayesian network of each cell (standard deviation of its probabilities,
        0..0.5), NaN for other networks.
    is_tumour
        bool (N), True for all where the network does not tell tumour cells from others.
    """

    nuclei: Nuclei
    outlines: Outlines
    uncertainty: NDArray[np.float32]
    is_tumour: NDArray[np.bool_]


def _averaged(values: NDArray[np.uint8], factor: int) -> Plane:
    """Average blocks of `factor` x `factor` pixels of a uint8 map to float32, 0..1."""
    height, width = values.shape[0] // factor, values.shape[1] // factor
    blocks = values.reshape(height, factor, width, factor).mean(axis=(1, 3), dtype=np.float32)
    return cast(Plane, blocks / np.float32(255))


def cells_from_map(
    nuclear: Plane,
    membrane: Plane,
    um_px: float,
    settings: NetworkCellSettings | None = None,
    is_nucleus: Callable[[Nuclei], NDArray[np.bool_]] | None = None,
) -> tuple[Nuclei, Outlines]:
    """Detect and outline the cells of probability maps.

    Parameters
    ----------
    nuclear, membrane
        float32 (H, W), probabilities of nucleus and of membrane, 0..1.
    um_px
        Size of their pixels, µm.
    settings
        Prices and limits.
    is_nucleus
        Filter of the nuclei found, given in pixels of the map; returns bool (N). None keeps all.

    Returns
    -------
    tuple[Nuclei, Outlines]
        N nuclei and the outlines of their cells, pixels of the map.
    """
    s = settings or NetworkCellSettings()
    nuclei, owner = nuclei_from_map(nuclear, um_px, s.nuclei)
    if is_nucleus is not None:
        nuclei, owner = _keep(nuclei, owner, is_nucleus(nuclei))
    price = np.rint(_PER_PX * (1 + s.membrane_price * membrane)).astype(np.int32)
    # Growth starts at the edges of the nuclei; negative prices keep it out of all nuclei.
    price[owner != UNOWNED] = -1
    # Far enough to get to the middle of a membrane at the largest distance of an outline.
    reach_um = s.outlines.reach_um + s.membrane_price * _CROSSED_UM
    limit = int(reach_um / um_px * STRAIGHT_STEP * _PER_PX)
    territory, _ = grow_territories(owner, np.zeros(owner.shape, np.int32), price, limit)
    # From here on as in the classical chain, with the probability of membrane in place of the DAB ridge.
    ridge = np.float32(s.ridge_od) * membrane
    return nuclei, outline_in_territories(
        ridge, um_px, nuclei.centre, nuclei.radii, territory, owner != UNOWNED, s.outlines
    )


def _keep(
    nuclei: Nuclei, owner: NDArray[np.int32], good: NDArray[np.bool_]
) -> tuple[Nuclei, NDArray[np.int32]]:
    """Return the good nuclei, renumbered, with the pixels that they own."""
    number = np.where(good, np.cumsum(good) - 1, UNOWNED).astype(np.int32)
    # UNOWNED is -1, which indexes the last entry.
    number = np.append(number, np.int32(UNOWNED))
    return Nuclei(nuclei.centre[good], nuclei.radii[good]), number[owner]


def network_cells_in_tile(
    classes: ClassMap,
    grid: Grid,
    box: Box,
    settings: NetworkCellSettings,
    is_nucleus: Callable[[Nuclei], NDArray[np.bool_]] | None = None,
) -> NetworkCells:
    """Detect and outline the cells of a tile.

    Parameters
    ----------
    classes
        Probability maps of the image.
    grid
        Working grid of the image.
    box
        The part of the image to segment, working pixels; an empty box gives no cells.
    settings
        Prices and limits.
    is_nucleus
        Filter of the nuclei found, given in working pixels from the box's corner; returns bool (N). None keeps all.

    Returns
    -------
    NetworkCells
        In working pixels from the box's corner.
    """
    if box.width < 1 or box.height < 1:
        no_nuclei = Nuclei(np.zeros((0, 2)), np.zeros((0, N_ANGLES), np.float32))
        no_outlines = Outlines(np.zeros((0, N_SECTORS), np.float32), np.zeros((0, N_SECTORS), np.int32))
        return NetworkCells(no_nuclei, no_outlines, np.zeros(0, np.float32), np.zeros(0, bool))
    factor = max(1, round(settings.work_um_px / classes.um_px))
    # Blocks are counted from the image's corner, not the tile's, so that they are the same in every tile.
    step = classes.downsample * factor
    left, top = (math.floor(v * grid.downsample / step) for v in (box.x, box.y))
    right = math.ceil((box.x + box.width) * grid.downsample / step)
    bottom = math.ceil((box.y + box.height) * grid.downsample / step)
    wide, high = right - left, bottom - top
    found = classes.segment(Box(left * factor, top * factor, wide * factor, high * factor))
    tells_tumour = found.probabilities.shape[-1] > OTHER_NUCLEUS
    tumour, membrane = (_averaged(found.probabilities[..., code], factor) for code in (NUCLEUS, MEMBRANE))
    # All nuclei are sought together, so that a tumour nucleus is split from a lymphocyte as from its like.
    nuclear = tumour + _averaged(found.probabilities[..., OTHER_NUCLEUS], factor) if tells_tumour else tumour
    ratio = step / grid.downsample

    def working(nuclei: Nuclei) -> Nuclei:
        """Convert block coordinates to working pixels; both have pixel centres at whole numbers."""
        # Adding a half moves to pixel corners, where scales differ by a factor alone.
        centre = (nuclei.centre + 0.5 + [left, top]) * ratio - 0.5 - [box.x, box.y]
        return Nuclei(centre, nuclei.radii * np.float32(ratio))

    nucleus_filter = None if is_nucleus is None else lambda nuclei: is_nucleus(working(nuclei))
    nuclei, cells = cells_from_map(nuclear, membrane, classes.um_px * factor, settings, nucleus_filter)
    uncertainty = np.full(len(nuclei), np.nan, np.float32)
    if found.uncertainty is not None:
        # Stored as uint8 relative to the largest standard deviation that a probability can have.
        plane = _averaged(found.uncertainty, factor) * np.float32(LARGEST_DEVIATION)
        uncertainty = mean_within(plane, nuclei.centre, cells.radii)
    is_tumour = np.ones(len(nuclei), bool)
    if tells_tumour:
        ours, every = (mean_within(plane, nuclei.centre, nuclei.radii) for plane in (tumour, nuclear))
        is_tumour = ours >= settings.min_tumour_share * every
    outlines = Outlines(cells.radii * np.float32(ratio), cells.neighbour)
    return NetworkCells(working(nuclei), outlines, uncertainty, is_tumour)
