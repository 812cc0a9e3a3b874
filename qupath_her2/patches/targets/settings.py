"""Settings of windows whose every pixel has a class: table ``[patches.segmentation]`` of ``her2.toml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from qupath_her2.errors import SettingsError
from qupath_her2.patches.cutting.crop_windows import PAPER_CROP_PX
from qupath_her2.patches.targets.mask_targets import MaskSettings
from qupath_her2.patches.targets.targets import TargetSettings

__all__ = ["SegmentationSettings", "TruthName"]

TruthName = Literal["auto", "masks", "annotations", "cells", "results"]


@dataclass(frozen=True, slots=True)
class SegmentationSettings:
    """Which windows are cut for a segmenter, and who says what their pixels are.

    Attributes
    ----------
    truth
        ``masks`` beside the images; ``annotations`` of the classes that `targets` names; ``cells`` with nuclei
        that were pulled from QuPath or stand in the region file; ``results``: cells of our own current run, which
        are no person's. ``auto`` takes an image's mask, else its cells with its annotations laid over them.
    crop_px
        Windows are cut from crops of this side, px of the window's scale; 0 takes the image as one crop.
    least_known
        Windows with a smaller share of known pixels are left out, 0..1.
    cells_are_complete
        An annotation of tumour that holds any cell holds no cell without outline, as QuPath's
        detection leaves it: what lies between cells there is background. If not, it is not known.
    targets, masks
        How outlines become pixels, and what the values of masks mean.
    """

    truth: TruthName = "auto"
    crop_px: int = PAPER_CROP_PX
    least_known: float = 0.05
    cells_are_complete: bool = True
    targets: TargetSettings = field(default_factory=TargetSettings)
    masks: MaskSettings = field(default_factory=MaskSettings)

    def __post_init__(self) -> None:
        if self.crop_px < 0 or not 0 <= self.least_known <= 1:
            raise SettingsError(
                f"crop_px {self.crop_px} must be 0 or more, and least_known {self.least_known:g} a share of 0..1."
            )
