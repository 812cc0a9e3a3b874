"""Pixels with a physical scale: readers, tissue, stains."""

from __future__ import annotations

from qupath_her2.slides.density_map import DensityMap, apply_density_map
from qupath_her2.slides.jitter import JitterSettings, draw_hed_jitter, hed_jitter
from qupath_her2.slides.macenko import MacenkoSettings, fit_macenko, macenko_map
from qupath_her2.slides.openslide_reader import OpenSlideSlide
from qupath_her2.slides.plain_reader import PlainSlide
from qupath_her2.slides.qupath_stains import parse_qupath_stains
from qupath_her2.slides.registration import RegistrationSettings, register_slides
from qupath_her2.slides.registration_record import Registration, registration_from_dict, registration_to_dict
from qupath_her2.slides.slide import READERS, Slide, open_slide, read_scaled
from qupath_her2.slides.stain_estimate import StainEstimateSettings, estimate_background, estimate_stains
from qupath_her2.slides.stain_profile import (
    MACENKO_REFERENCES,
    StainProfile,
    profile_from_dict,
    profile_to_dict,
)
from qupath_her2.slides.stain_sample import (
    SampleSettings,
    find_reference,
    fit_slide_macenko,
    sample_tissue_pixels,
)
from qupath_her2.slides.stains import QUPATH_H_DAB, StainVectors, optical_density, unmix
from qupath_her2.slides.tiff_reader import TiffSlide
from qupath_her2.slides.tissue import Tissue, TissueSettings, find_tissue, read_thumbnail
from qupath_her2.slides.tissue_outlines import tissue_polygons
from qupath_her2.slides.transfer import transfer_geometry, transfer_regions
from qupath_her2.slides.view import open_image, open_view

__all__ = [
    "MACENKO_REFERENCES",
    "QUPATH_H_DAB",
    "READERS",
    "DensityMap",
    "JitterSettings",
    "MacenkoSettings",
    "OpenSlideSlide",
    "PlainSlide",
    "Registration",
    "RegistrationSettings",
    "SampleSettings",
    "Slide",
    "StainEstimateSettings",
    "StainProfile",
    "StainVectors",
    "TiffSlide",
    "Tissue",
    "TissueSettings",
    "apply_density_map",
    "draw_hed_jitter",
    "estimate_background",
    "estimate_stains",
    "find_reference",
    "find_tissue",
    "fit_macenko",
    "fit_slide_macenko",
    "hed_jitter",
    "macenko_map",
    "open_image",
    "open_slide",
    "open_view",
    "optical_density",
    "parse_qupath_stains",
    "profile_from_dict",
    "profile_to_dict",
    "read_scaled",
    "read_thumbnail",
    "register_slides",
    "registration_from_dict",
    "registration_to_dict",
    "sample_tissue_pixels",
    "tissue_polygons",
    "transfer_geometry",
    "transfer_regions",
    "unmix",
]
