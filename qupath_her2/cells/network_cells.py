"""Cells in what a network says of an image's pixels: nuclei, and round each the membrane that bounds it.

Ground is shared out among the nuclei by growth that pays for crossing membrane (`territory`): it stops inside the
membrane between two cells, and where there is none half-way. Within its ground the outline of a cell is the closed
path along the most probable membrane, as the classical outlines follow the DAB ridge, at the same distances where there
is none. From there on the cells are measured and scored by the very code that measures classical ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

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
from qupath_her2.patches.targets.targets import MEMBRANE, NUCLEUS
from qupath_her2.records import Box

__all__ = ["ClassMap", "NetworkCellSettings", "cells_from_map", "network_cells_in_tile"]

#: Prices are whole numbers; a step over ground that is certainly no membrane costs this.
_PER_PX = 8

#: Growth goes on for so much certain membrane, µm: to the middle of one.
_CROSSED_UM = 0.5


class ClassMap(Protocol):
    """What a network says of the pixels of an image; `learning.segmentation.slide_segmenter.SlideSegmenter` is one.

    `downsample` : level-0 pixels per pixel of the map. `um_px` : size of its pixels, µm.
    """

    @property
    def downsample(self) -> float: ...  # noqa: D102
    @property
    def um_px(self) -> float: ...  # noqa: D102

    def segment(self, box: Box) -> PixelMap:
        """Return the probabilities of a box, and of a Bayesian network how far its drawn nets differ.

        Parameters
        ----------
        box
            Pixels of the map, counted from the image's corner; it may reach beyond the image.
        """
        ...


@dataclass(frozen=True, slots=True)
class NetworkCellSettings:
    """From pixels to cells.

    Attributes
    ----------
    work_um_px
        Maps are averaged to about this before cells are looked for, as the classical detector works.
    membrane_price
        Crossing a certain membrane costs as much as this many times its width of open ground.
    ridge_od
        DAB ridge as which a certain membrane counts in the prices of `OutlineSettings`.
    outlines
        Reach and prices, as of the classical outlines. A membrane between two cells bounds the ground of both
        here, so that crossing it costs less than there, and leaving the expected place more.
    nuclei
        What counts as one.
    """

    work_um_px: float = 0.5
    membrane_price: float = 20.0
    ridge_od: float = 0.15
    outlines: OutlineSettings = field(
        default_factory=lambda: OutlineSettings(crossing_weight=0.3, place_price_od_um=0.03)
    )
    nuclei: NucleusMapSettings = field(default_factory=NucleusMapSettings)


def _averaged(values: NDArray[np.uint8], factor: int) -> Plane:
    """Average blocks of `factor` x `factor` pixels to float32 0..1."""
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
    """Find and outline the cells of a map.

    Parameters
    ----------
    nuclear, membrane
        float32 (H, W), probabilities 0..1.
    um_px
        Size of their pixels, µm.
    settings
        Prices and limits.
    is_nucleus
        Tells of N nuclei, pixels of the map, which are some; all where None.

    Returns
    -------
    tuple[Nuclei, Outlines]
        N nuclei and the outlines of their cells, pixels of the map.
    """
    s = settings or NetworkCellSettings()
    nuclei, owner = nuclei_from_map(nuclear, um_px, s.nuclei)
    if is_nucleus is not None:
        nuclei, owner = _kept(nuclei, owner, is_nucleus(nuclei))
    price = np.rint(_PER_PX * (1 + s.membrane_price * membrane)).astype(np.int32)
    # Cells begin at the edges of their nuclei, into which nobody grows.
    price[owner != UNOWNED] = -1
    reach_um = s.outlines.reach_um + s.membrane_price * _CROSSED_UM
    limit = int(reach_um / um_px * STRAIGHT_STEP * _PER_PX)
    ground, _ = grow_territories(owner, np.zeros(owner.shape, np.int32), price, limit)
    ridge = np.float32(s.ridge_od) * membrane
    return nuclei, outline_in_territories(
        ridge, um_px, nuclei.centre, nuclei.radii, ground, owner != UNOWNED, s.outlines
    )


def _kept(
    nuclei: Nuclei, owner: NDArray[np.int32], good: NDArray[np.bool_]
) -> tuple[Nuclei, NDArray[np.int32]]:
    """Return the good nuclei and the ground of theirs."""
    number = np.where(good, np.cumsum(good) - 1, UNOWNED).astype(np.int32)
    # The last place stands for nobody, which is -1.
    number = np.append(number, np.int32(UNOWNED))
    return Nuclei(nuclei.centre[good], nuclei.radii[good]), number[owner]


def network_cells_in_tile(
    classes: ClassMap,
    grid: Grid,
    box: Box,
    settings: NetworkCellSettings,
    is_nucleus: Callable[[Nuclei], NDArray[np.bool_]] | None = None,
) -> tuple[Nuclei, Outlines, NDArray[np.float32]]:
    """Find and outline the cells of a tile.

    Parameters
    ----------
    classes
        What the network says of the image.
    grid
        Working grid of the tile.
    box
        The part of the image to look at, working pixels; without any ground it holds no cells.
    settings
        Prices and limits.
    is_nucleus
        Tells of N nuclei, working pixels from the box's corner, which are some; all where None.

    Returns
    -------
    tuple[Nuclei, Outlines, NDArray[np.float32]]
        N nuclei and the outlines of their cells, working pixels from the box's corner; float32 (N), by how
        much a Bayesian
        network is unsure of each cell, as the standard deviation of its probabilities, 0..0.5, NaN of other networks.
    """
    if box.width < 1 or box.height < 1:
        no_radii, nobody = np.zeros((0, N_ANGLES), np.float32), np.zeros((0, N_SECTORS))
        nowhere = Outlines(nobody.astype(np.float32), nobody.astype(np.int32))
        return Nuclei(np.zeros((0, 2)), no_radii), nowhere, np.zeros(0, np.float32)
    factor = max(1, round(settings.work_um_px / classes.um_px))
    # Blocks are counted from the image's corner, so that they are the same in every tile.
    step = classes.downsample * factor
    left, top = (math.floor(v * grid.downsample / step) for v in (box.x, box.y))
    right = math.ceil((box.x + box.width) * grid.downsample / step)
    bottom = math.ceil((box.y + box.height) * grid.downsample / step)
    wide, high = right - left, bottom - top
    found = classes.segment(Box(left * factor, top * factor, wide * factor, high * factor))
    nuclear, membrane = (_averaged(found.probabilities[..., code], factor) for code in (NUCLEUS, MEMBRANE))
    ratio = step / grid.downsample

    def working(nuclei: Nuclei) -> Nuclei:
        """From centres of blocks by way of level-0 corners to centres of working pixels."""
        centre = (nuclei.centre + 0.5 + [left, top]) * ratio - 0.5 - [box.x, box.y]
        return Nuclei(centre, nuclei.radii * np.float32(ratio))

    judge = None if is_nucleus is None else lambda nuclei: is_nucleus(working(nuclei))
    nuclei, cells = cells_from_map(nuclear, membrane, classes.um_px * factor, settings, judge)
    unsure = np.full(len(nuclei), np.nan, np.float32)
    if found.uncertainty is not None:
        plane = _averaged(found.uncertainty, factor) * np.float32(LARGEST_DEVIATION)
        unsure = mean_within(plane, nuclei.centre, cells.radii)
    return working(nuclei), Outlines(cells.radii * np.float32(ratio), cells.neighbour), unsure
