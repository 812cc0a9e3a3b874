"""Pixels with a physical scale: readers, tissue, stains."""

from __future__ import annotations

from qupath_her2.slides.openslide_reader import OpenSlideSlide
from qupath_her2.slides.plain_reader import PlainSlide
from qupath_her2.slides.slide import READERS, Slide, open_slide, read_scaled
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
from qupath_her2.slides.tiff_reader import TiffSlide
from qupath_her2.slides.tissue import Tissue, TissueSettings, find_tissue, read_thumbnail, tissue_polygons
from qupath_her2.slides.view import open_image, open_view

__all__ = [
    "QUPATH_H_DAB",
    "READERS",
    "OpenSlideSlide",
    "PlainSlide",
    "Slide",
    "StainEstimateSettings",
    "StainVectors",
    "TiffSlide",
    "Tissue",
    "TissueSettings",
    "estimate_background",
    "estimate_stains",
    "find_tissue",
    "open_image",
    "open_slide",
    "open_view",
    "optical_density",
    "parse_qupath_stains",
    "read_scaled",
    "read_thumbnail",
    "tissue_polygons",
    "unmix",
]
