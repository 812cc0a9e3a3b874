"""IHC indicators: staining intensity, positive-cell ratio and circumferential ratio of 512 x 512 patches.

After Che et al. 2023, Diagnostics 13:263 (doi 10.3390/diagnostics13020263). The tumour comes from regions, from their
tumour network (recipe ``tumour-resnet34``), or the tissue stands for it.
"""

from __future__ import annotations

from qupath_her2.scoring.indicators.fit import fit
from qupath_her2.scoring.indicators.heat import heat_map, heat_map_png
from qupath_her2.scoring.indicators.masks import IndicatorSettings
from qupath_her2.scoring.indicators.patch import PatchIndicators, indicators_of_patch
from qupath_her2.scoring.indicators.ranges import (
    INDICATORS,
    PUBLISHED,
    IndicatorRanges,
    decide,
    load_ranges,
    save_ranges,
)
from qupath_her2.scoring.indicators.slide import (
    SlideIndicators,
    indicators_of_slide,
    patch_boxes,
    pool,
    score_indicators,
)
from qupath_her2.scoring.indicators.tissue import (
    ControlSettings,
    Piece,
    detached_pieces,
    measured_area,
    tissue_mask,
)
from qupath_her2.scoring.indicators.tumour import TumourSettings, tumour_area

__all__ = [
    "INDICATORS",
    "PUBLISHED",
    "ControlSettings",
    "IndicatorRanges",
    "IndicatorSettings",
    "PatchIndicators",
    "Piece",
    "SlideIndicators",
    "TumourSettings",
    "decide",
    "detached_pieces",
    "fit",
    "heat_map",
    "heat_map_png",
    "indicators_of_patch",
    "indicators_of_slide",
    "load_ranges",
    "measured_area",
    "patch_boxes",
    "pool",
    "save_ranges",
    "score_indicators",
    "tissue_mask",
    "tumour_area",
]
