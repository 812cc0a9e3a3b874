"""The method ``indicators``: three IHC indicators are measured in an image's patches and scored by a decision table.

Che et al. 2023 (doi 10.3390/diagnostics13020263). The tumour is annotated, found by a network of the recipe
``tumour-resnet34``, or replaced by all tissue. Control tissue (detached, much browner pieces) is left out unless
regions were annotated.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from qupath_her2.provenance import canonical_json
from qupath_her2.recipes.ihc_indicators import IHC_INDICATORS
from qupath_her2.records import Refusal
from qupath_her2.regions import tumour_mask
from qupath_her2.report.heat import OVERLAYS, Overlay, overlays_json
from qupath_her2.report.pictures import read_overview
from qupath_her2.runs.methods.patches import patch_settings
from qupath_her2.runs.methods.tumour_map import find_tumour, tumour_card
from qupath_her2.runs.refused_image import empty_table, refused_image
from qupath_her2.runs.types import FinishedImage
from qupath_her2.runs.whole_tissue import NO_ONE_CHOSE
from qupath_her2.scoring.indicators.applicability import MeasuredOn, objections
from qupath_her2.scoring.indicators.heat_map import heat_map, heat_map_png
from qupath_her2.scoring.indicators.measured import MEASURED, measured_json
from qupath_her2.scoring.indicators.patch import indicators_of_patch
from qupath_her2.scoring.indicators.slide import patch_boxes, pool_patches, score_indicators
from qupath_her2.scoring.indicators.tissue import measured_area
from qupath_her2.slides.readers.scanner import scanner_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from qupath_her2.config import Settings
    from qupath_her2.models.card import ModelCard
    from qupath_her2.records import Box
    from qupath_her2.runs.methods.tumour_map import TumourMap
    from qupath_her2.runs.types import ImageContext, ImageSetup, Progress, TumourSearchUse
    from qupath_her2.scoring.indicators.masks import IndicatorSettings
    from qupath_her2.scoring.indicators.patch import PatchIndicators
    from qupath_her2.scoring.indicators.ranges import IndicatorRanges
    from qupath_her2.slides.readers.slide import Slide

__all__ = ["IndicatorsMethod"]

#: Scale of the overview, µm per pixel: pieces of tissue span hundreds of µm, so finer only costs time.
_OVERVIEW_UM = 8.0


@dataclass(frozen=True, slots=True)
class IndicatorsMethod:
    """Scoring by the three IHC indicators of Che et al. 2023.

    Attributes
    ----------
    tumour_from
        Checkpoint of a network that finds the tumour, path without ending; None uses the regions or all tissue.
    keep_controls
        Where no region was drawn, also measure pieces that look like control tissue.
    ranges
        Decision table; None takes the published one.
    accept_ranges
        Score also where the table does not apply.
    """

    tumour_from: Path | None = None
    keep_controls: bool = False
    ranges: IndicatorRanges | None = None
    accept_ranges: bool = False

    @property
    def name(self) -> str:
        """Name of the method in ``run.json``."""
        return "indicators"

    @property
    def is_ihc_only(self) -> bool:
        """Indicators are measured in haematoxylin and DAB."""
        return True

    @property
    def pools_stains(self) -> bool:
        """The paper's thresholds hold for fixed stain vectors, so none are estimated."""
        return False

    @property
    def uses_existing_cells(self) -> bool:
        """Indicators find their own nuclei."""
        return False

    @property
    def counts_cells(self) -> bool:
        """The indicators count no cells that QuPath shows."""
        return False

    @property
    def tumour_search(self) -> TumourSearchUse:
        """Tumour is annotated, or found by a network of its own."""
        return "never"

    def check(self) -> None:
        """Raise ModelError where the checkpoint is not that of a tumour network."""
        self.card()

    def card(self, pixel_size_um: float | None = None) -> ModelCard | None:
        """Return the card of the network that finds the tumour, the same for every pixel size; None without one."""
        return None if self.tumour_from is None else tumour_card(self.tumour_from)

    def measurement_settings(self, settings: Settings, card: ModelCard | None) -> dict[str, Any]:
        """Return everything the indicators depend on besides image, regions, stains and tissue."""
        used: dict[str, Any] = {
            "indicators": settings.indicators,
            "control": settings.control,
            "keep_controls": self.keep_controls,
            "ranges": self.ranges,
            "accept_ranges": self.accept_ranges,
        }
        if card is not None:
            used |= {"tumour": settings.tumour, **patch_settings(settings, card, None)}
        return used

    def scale_refusal(self, name: str, pixel_size_um: float | None, card: ModelCard | None) -> Refusal | None:
        """Return None, since patches are resampled to the method's pixel size; see `Method.scale_refusal`."""
        return None

    def record(self, pixel_size_um: float | None) -> dict[str, Any]:
        """Return the method's entries in ``run.json``."""
        return {
            "method": self.name,
            "recipe": IHC_INDICATORS.name,
            "network": self.tumour_from,
            "cells": "detect",
        }

    def measure(self, setup: ImageSetup, *, progress: Progress | None, threads: int) -> FinishedImage:
        """Measure the patches of an image and score it; see `Method.measure`.

        The result includes a heat map of the staining intensity.
        """
        start = time.monotonic()
        slide, settings = setup.slide, setup.settings.indicators
        size_um = setup.inputs.pixel_size_um
        # Without a pixel size the image was refused at set-up.
        assert size_um is not None
        area = _measured_area(self, setup, size_um, progress)
        context = area.context
        if context.refusal is not None:
            return refused_image(context, setup.ref.case, setup.settings.scoring)
        boxes = patch_boxes(slide.width, slide.height, size_um, settings, area.mask)
        patches: list[PatchIndicators] = []
        for box in boxes:
            # One patch at a time: all of a whole slide in memory would be its full-resolution pixels.
            patches.append(indicators_of_patch(_read(slide, box, settings), settings, context.stains))
            if progress is not None:
                progress(len(patches), len(boxes), sum(patch.n_cells for patch in patches))
        pooled = pool_patches(patches) if patches else None
        ranges, where = self.ranges or IHC_INDICATORS.ranges, self._measured_on(setup, size_um)
        score = score_indicators(
            pooled,
            ranges,
            min_cells=setup.settings.scoring.min_cells,
            warnings=context.warnings,
            objections=() if pooled is None else objections(pooled.values(), ranges, where),
            accept=self.accept_ranges,
        )
        if score.score is not None and context.stain_origin:
            score = replace(score, tags=(*score.tags, context.stain_origin))
        return FinishedImage(
            # Patches are pooled over all regions, as in the paper, so TMA cores have no scores of their own.
            replace(context, by_core=False),
            score,
            empty_table(),
            tuple(region for region in context.regions if region.role == "tumour"),
            timings_s={"indicators": round(time.monotonic() - start, 3)},
            extra_files={
                **_maps(boxes, [patch.intensity for patch in patches], area.tumour),
                **({} if pooled is None else {MEASURED: measured_json(pooled, where)}),
            },
        )

    def _measured_on(self, setup: ImageSetup, pixel_size_um: float) -> MeasuredOn:
        """Return what an image is like as far as the ranges depend on it."""
        area = "all tissue" if setup.inputs.whole_tissue else "regions"
        return MeasuredOn(
            scanner=scanner_name(setup.ref.path),
            stain=setup.ref.case.stain,
            pixel_size_um=pixel_size_um,
            area=area if self.tumour_from is None else "tumour network",
            settings=hashlib.sha256(canonical_json(setup.settings.indicators)).hexdigest(),
        )


def _maps(boxes: Sequence[Box], intensities: Sequence[float], tumour: TumourMap | None) -> dict[str, bytes]:
    """Return the overlay files: map of the staining intensity, and probability map of the tumour if there is one."""
    files = {} if tumour is None else {tumour.overlay.file: tumour.png}
    places = [] if tumour is None else [tumour.overlay]
    if boxes:
        place, png = _heat_map(boxes, intensities)
        files[place.file] = png
        # The first overlay is the one that the report and QuPath show first.
        places.insert(0, place)
    return files | {OVERLAYS: overlays_json(places)} if files else {}


def _heat_map(boxes: Sequence[Box], intensities: Sequence[float]) -> tuple[Overlay, bytes]:
    grid = heat_map(boxes, intensities)
    place = Overlay(
        "Staining intensity",
        "heatmap.png",
        0,
        0,
        grid.shape[1] * boxes[0].width,
        grid.shape[0] * boxes[0].height,
    )
    return place, heat_map_png(grid)


@dataclass(frozen=True, slots=True, eq=False)
class _MeasuredArea:
    """The measured area.

    Attributes
    ----------
    mask
        bool (H, W) over the overview picture.
    tumour
        Tumour map of a network; None without one.
    context
        Of the image, with the warnings or the refusal that finding the area added.
    """

    mask: NDArray[np.bool_]
    tumour: TumourMap | None
    context: ImageContext


def _measured_area(
    method: IndicatorsMethod, setup: ImageSetup, pixel_size_um: float, progress: Progress | None
) -> _MeasuredArea:
    """Return the area to measure: the regions, or all tissue without control pieces, cut with the network's tumour map.

    Its context holds a refusal where the network found no tumour.
    """
    slide, context = setup.slide, setup.context
    longest_um = max(slide.width, slide.height) * pixel_size_um
    # At least 256 px, or a single TMA core would be a handful of pixels at 8 µm.
    rgb, frame = read_overview(slide, max(256, round(longest_um / _OVERVIEW_UM)))
    mask = tumour_mask(context.regions, rgb.shape, frame.to_picture)
    tumour = None
    if method.tumour_from is not None:
        shape = (rgb.shape[0], rgb.shape[1])
        found = find_tumour(method.tumour_from, setup, shape, frame.scale, progress=progress)
        if isinstance(found, Refusal):
            # Nothing was scored, all tissue least of all.
            left = tuple(text for text in context.warnings if text != NO_ONE_CHOSE)
            return _MeasuredArea(mask, None, replace(context, warnings=left).refused(found))
        tumour = found
        mask &= tumour.mask
        # Replaced, not added to: the warning that no one chose the tumour no longer holds.
        context = replace(context, warnings=tumour.warnings)
    if setup.inputs.whole_tissue:
        area, warnings = measured_area(
            rgb,
            pixel_size_um / frame.scale,
            keep_controls=method.keep_controls,
            settings=setup.settings.control,
            indicators=setup.settings.indicators,
        )
        mask &= area
        context = context.warned(*warnings)
    return _MeasuredArea(mask, tumour, context)


def _read(slide: Slide, box: Box, settings: IndicatorSettings) -> NDArray[np.uint8]:
    """Return a patch at the method's own scale, uint8 (patch_px, patch_px, 3)."""
    pixels = slide.read(box.x, box.y, box.width, box.height)
    side = (settings.patch_px, settings.patch_px)
    if pixels.shape[:2] == side:
        return pixels
    # Area averaging keeps the mean stain when shrinking; it would leave blocks when enlarging.
    shrinks = box.width > settings.patch_px
    scaled = cv2.resize(pixels, side, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8)
