"""Pixels with a physical scale: readers, tissue, stains."""

from __future__ import annotations

from qupath_her2.slides.stains import (
    QUPATH_H_DAB,
    StainEstimateSettings,
    StainVectors,
    estimate_background,
    estimate_stains,
    optical_density,
    parse_qupath_stains,
    unmix,
)

__all__ = [
    "QUPATH_H_DAB",
    "StainEstimateSettings",
    "StainVectors",
    "estimate_background",
    "estimate_stains",
    "optical_density",
    "parse_qupath_stains",
    "unmix",
]
