"""Settings of segmentation windows: the table ``[patches.segmentation]`` of ``her2.toml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from qupath_her2.patches.cutting.crop_windows import PAPER_CROP_PX
from qupath_her2.patches.targets.mask_targets import MaskSettings
from qupath_her2.patches.targets.targets import TargetSettings
from qupath_her2.setting_ranges import Range, Share, check_settings

__all__ = ["SegmentationSettings", "TruthName"]

TruthName = Literal["auto", "masks", "annotations", "cells", "results"]


@dataclass(frozen=True, slots=True)
class SegmentationSettings:
    """Windows for training a segmenter, and the source of their ground truth.

    Attributes
    ----------
    truth
        ``masks`` next to the images; ``annotations`` of the classes listed in `targets`; ``cells`` with nuclei,
        pulled from QuPath or in the region file; ``results``: cells of this package's current run, which no person
        checked. ``auto`` takes an image's mask, otherwise its cells, overlaid with its annotations.
    crop_px
        Side of the crops that windows are cut from, px at the window's scale; 0 takes the image as one crop.
    least_known
        Minimum share of known pixels in a window.
    cells_are_complete
        Assume that all cells are outlined in every tumour annotation that contains any, as after QuPath's cell
        detection: the area between cells is then background. If False, it is unknown.
    targets, masks
        How outlines become pixels, and what the values of masks mean.
    """

    truth: TruthName = "auto"
    crop_px: Annotated[int, Range(0, 65_536, "px")] = PAPER_CROP_PX
    least_known: Share = 0.05
    cells_are_complete: bool = True
    targets: TargetSettings = field(default_factory=TargetSettings)
    masks: MaskSettings = field(default_factory=MaskSettings)

    def __post_init__(self) -> None:
        check_settings(self)
