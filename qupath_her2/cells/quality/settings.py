"""Limits of pictures that are scored by cells.

A refusal is a result: "not assessable" with a reason is better than a wrong number. The figures beside each limit say
how many pictures stand on either side, and by how much. `tests.quality.refusals` prints them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from qupath_her2.setting_ranges import Density, Range, Share, check_order, check_settings

__all__ = ["QualitySettings"]


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """Limits of images that are scored.

    Attributes
    ----------
    max_pixel_size_um, warn_pixel_size_um
        Coarser pixels cannot resolve a membrane of 0.64 µm (1+, Scheel 2018).
    max_green_share
        Median fraction of green in the optical density of tissue: eosin absorbs green. Real HER2 IHC 0.32 to 0.37,
        drawn with stains of other vendors up to 0.435; a real H&E slide 0.48, recoloured H&E 0.47 to 0.63.
    max_edge_blur_um
        Median blur of the edges in and around a block of 16 µm; blurrier blocks are cut out. Blocks of 20 sharp real
        pictures have 0.25 to 0.62 µm (5th to 95th percentile; 0.70 in the softest), drawn ones 0.34 to 0.54, and 0.68
        at most when blurred by another 0.5 µm; blurred by 1 µm, real blocks have 0.74 or more, drawn ones 0.79.
    max_blurred_share
        With a larger share of such blocks the whole image is out of focus. 20 sharp real pictures have 0 to 0.12, 48
        drawn ones 0 to 0.03; one real picture out of focus 0.50 to 0.74 by the pixel size taken, four drawn ones 0.83.
    max_nuclear_share, min_nuclear_spots
        Share of the stained area in solid spots of nuclear size, and the fewest spots from which it is told. A real
        nuclear stain has 0.62, four drawn ones 0.66 to 0.74; of 20 other real and 44 drawn pictures those with as many
        spots have 0.18 at most.
    max_dab_polarity
        Fraction of dark blobs among DAB blobs of nuclear size, for nuclei so dense that their spots touch. Four drawn
        nuclear stains have 0.74 to 0.76; 20 other real pictures 0.46 to 0.67, 40 drawn ones 0.43 to 0.54.
    min_dab_od
        Mean DAB of the regions from which the polarity is judged, OD.
    min_positive_cells, min_positive_share
        With fewer stained cells the location of the stain cannot be judged.
    positive_od
        A cell is stained where DAB of its membrane, cytoplasm or nucleus exceeds this, OD.
    min_outlined_share, min_outlined_share_soft
        Share of the stained cells that a line of DAB outlines: limits for sharp pictures (edges of 0.45 µm or less) and
        for soft ones (0.62 µm); in between it is interpolated. Membrane stains: six sharp real pictures 0.43 to 0.89
        and, with pixel sizes stated so large that they become soft, 0.27 to 0.48; 34 drawn ones 0.80 to 0.98. Others:
        two cytoplasmic real pictures 0.04 to 0.28 and two faint ones 0.05 to 0.37, twelve drawn cytoplasms 0.12 to
        0.36; benign ducts with both 0.13 to 0.58 by the pixel size taken.
    doubtful_margin, min_paler_share
        Up to this margin above the limit, this share of the stained cells must also have a cytoplasm clearly paler than
        the membrane, in proportion less in soft pictures. Sharp membrane stains have 0.54 or more (quarters of the real
        pictures and windows of two cores 0.50 or more), soft ones 0.37; drawn cytoplasms 0.17 to 0.38, three real ones
        with a limit in question 0.27 to 0.39, faint pictures 0.09 to 0.36.
    faint_od
        Median membrane DAB below which a stain without lines is called a background, OD: two real pictures 0.14 and
        0.15; cytoplasms 0.25 or more.
    """

    # At 2 µm (5x) membranes cannot be seen at all.
    max_pixel_size_um: Annotated[float, Range(0.1, 2, "µm")] = 0.55
    warn_pixel_size_um: Annotated[float, Range(0.1, 2, "µm")] = 0.45
    max_green_share: Share = 0.45
    max_edge_blur_um: Annotated[float, Range(0.05, 10, "µm")] = 0.72
    max_blurred_share: Share = 0.4
    max_nuclear_share: Share = 0.35
    min_nuclear_spots: Annotated[int, Range(1, 1_000_000)] = 8
    max_dab_polarity: Share = 0.68
    min_dab_od: Density = 0.03
    min_positive_cells: Annotated[int, Range(1, 1_000_000, "cells")] = 30
    min_positive_share: Share = 0.10
    positive_od: Density = 0.12
    min_outlined_share: Share = 0.39
    min_outlined_share_soft: Share = 0.18
    doubtful_margin: Share = 0.10
    min_paler_share: Share = 0.44
    faint_od: Density = 0.17

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "warn_pixel_size_um", "max_pixel_size_um", is_strict=False)
        check_order(self, "min_outlined_share_soft", "min_outlined_share", is_strict=False)
