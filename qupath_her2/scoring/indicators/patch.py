"""The three indicators of one patch: staining intensity, positive cells, circumferential cells.

Che et al. 2023, section 2.4 (doi 10.3390/diagnostics13020263). In their Table 4 the circumferential ratio exceeds
the positive-cell ratio, so the two cannot have the same denominator there; here both are shares of all cells, as
their text says, and the published ranges of the ratios need refitting before they apply.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from qupath_her2.scoring.indicators.masks import (
    IndicatorSettings,
    brown_mask,
    circumferential_cells,
    extract_cells,
)
from qupath_her2.slides.stains.vectors import QUPATH_H_DAB, StainVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PatchIndicators", "indicators_of_patch"]


@dataclass(frozen=True, slots=True)
class PatchIndicators:
    """Indicators of one patch.

    Attributes
    ----------
    intensity
        Mean darkness (1 - grey) of the brown pixels, 0..1; 0 for an unstained patch.
    brown_share
        Share of brown pixels, 0..1.
    n_cells, n_positive, n_circumferential
        Cells away from the patch edge, those touched by stain, and those enclosed by it.
    """

    intensity: float
    brown_share: float
    n_cells: int
    n_positive: int
    n_circumferential: int


def indicators_of_patch(
    rgb: NDArray[np.uint8], settings: IndicatorSettings, stains: StainVectors = QUPATH_H_DAB
) -> PatchIndicators:
    """Measure one patch.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3) at `settings.pixel_size_um`.
    settings
        Thresholds of the masks.
    stains
        Stain vectors of the slide; one set per slide, never per patch.

    Returns
    -------
    PatchIndicators
        Intensity, share of brown, and the counts of cells.
    """
    brown = brown_mask(rgb, settings)
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    share = float(brown.mean())
    stained = share >= settings.min_brown_share and bool(brown.any())
    intensity = 1 - float(grey[brown].mean()) / 255 if stained else 0.0
    nuclei, cells = extract_cells(rgb, settings, stains)
    n = int(nuclei.max()) + 1
    # Cells cut by the patch edge: whether their contour closes cannot be seen.
    whole = np.ones(n, bool)
    whole[np.concatenate([nuclei[0], nuclei[-1], nuclei[:, 0], nuclei[:, -1]])] = False
    whole[0] = False
    # As in the paper, stain mask times cell mask: one shared pixel makes a cell positive.
    positive = np.bincount(cells[brown], minlength=n) > 0
    # Only cells that touch stain can be enclosed by it: keeps the circumferential ratio below the positive one.
    closed = positive & circumferential_cells(brown, nuclei, settings)
    return PatchIndicators(
        intensity=intensity,
        brown_share=share,
        n_cells=int(whole.sum()),
        n_positive=int((positive & whole).sum()),
        n_circumferential=int((closed & whole).sum()),
    )
