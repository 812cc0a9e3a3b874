"""Tumour area from patch probabilities, after Che et al. 2023 (doi 10.3390/diagnostics13020263).

Their ResNet34 gives each patch a probability of tumour; thresholding and the removal of small areas give the
tumour area.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import cv2
import numpy as np

from qupath_her2.setting_ranges import Range, check_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TumourSettings", "tumour_area"]


@dataclass(frozen=True, slots=True)
class TumourSettings:
    """Settings of the tumour area. The paper gives neither number; these are ours.

    Attributes
    ----------
    threshold
        Minimum probability of a tumour patch.
    area_mm2_min
        Smaller areas are discarded as false positives; 0.1 mm² is about six patches of 129 µm.
    """

    threshold: Annotated[float, Range(0, 1, is_open="both")] = 0.5
    area_mm2_min: Annotated[float, Range(0, 1000, "mm²")] = 0.1

    def __post_init__(self) -> None:
        check_settings(self)


def tumour_area(
    box_xywh: NDArray[np.int32],
    probability: NDArray[np.float32],
    shape: tuple[int, int],
    scale: float,
    pixel_size_um: float,
    settings: TumourSettings | None = None,
) -> NDArray[np.bool_]:
    """Return the tumour mask on an overview of the whole image.

    Parameters
    ----------
    box_xywh
        int32 (N, 4), left, top, width and height of the patches, level-0 pixels.
    probability
        float32 (N,), probability of tumour, 0..1; NaN (an unreadable patch) counts as no tumour.
    shape
        Height and width of the overview, px.
    scale
        Overview pixels per level-0 pixel.
    pixel_size_um
        Size of a level-0 pixel, µm.
    settings
        Threshold and minimum area.

    Returns
    -------
    NDArray[np.bool_]
        bool, of `shape`.
    """
    s = settings or TumourSettings()
    mask = np.zeros(shape, np.uint8)
    # NaN >= threshold is False, so unreadable patches drop out here.
    for x, y, width, height in box_xywh[probability >= s.threshold].tolist():
        # Both edges are rounded, not the width, so that neighbouring patches meet without a gap.
        left, top = round(x * scale), round(y * scale)
        right, bottom = round((x + width) * scale), round((y + height) * scale)
        mask[top : max(top + 1, bottom), left : max(left + 1, right)] = 1
    # 8-connected: patches that touch at a corner belong to one tumour.
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    mm2 = stats[:, cv2.CC_STAT_AREA] * (pixel_size_um / scale / 1000) ** 2
    large = (mm2 >= s.area_mm2_min) & (np.arange(count) > 0)
    return np.asarray(large[labels], np.bool_)
