"""Tissue to measure on a slide, without pieces of control tissue.

Che et al. 2023, section 2.2 (doi 10.3390/diagnostics13020263): Otsu thresholds on hue and saturation of HSV.
Half of their slides (47 of 95) carry a piece of 3+ control tissue beside the specimen (their Figure 3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import cv2
import numpy as np

from qupath_her2.scoring.indicators.masks import IndicatorSettings, brown_mask
from qupath_her2.setting_ranges import Range, Share, check_settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ControlSettings", "Piece", "detached_pieces", "measured_area", "tissue_mask"]


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Settings that tell control tissue from the specimen.

    Attributes
    ----------
    gap_um
        Pieces closer than this are joined.
    piece_area_mm2_min
        Smaller pieces are debris: not measured, and not considered as controls.
    area_ratio_max
        Maximum area of a control, as a multiple of the largest piece.
    brown_share_min
        Minimum stained share of a control's area.
    brown_ratio_min
        Minimum stained share of a control, as a multiple of that of the largest piece.
    saturation_floor
        The hue of paler pixels is noise and does not make them tissue.
    """

    gap_um: Annotated[float, Range(0, 10_000, "µm", is_open="low")] = 300.0
    piece_area_mm2_min: Annotated[float, Range(0, 1000, "mm²", is_open="low")] = 0.1
    area_ratio_max: Annotated[float, Range(0, 1, is_open="low")] = 0.5
    brown_share_min: Annotated[float, Range(0, 1, is_open="low")] = 0.15
    brown_ratio_min: Annotated[float, Range(0, 100, is_open="low")] = 2.0
    saturation_floor: Share = 0.012

    def __post_init__(self) -> None:
        check_settings(self)


#: Saturation (0..255) above which a pixel is certainly stained.
_SATURATION_CAP = 16
#: Hue of green in OpenCV's units (0..179).
_GREEN = 60


@dataclass(frozen=True, slots=True)
class Piece:
    """A detached piece of tissue: label, area in mm², stained share 0..1, and whether it looks like a control."""

    label: int
    area_mm2: float
    brown_share: float
    is_control: bool


def tissue_mask(rgb: NDArray[np.uint8], saturation_floor: float = 0.012) -> NDArray[np.bool_]:
    """Return the tissue mask, bool (H, W), from Otsu thresholds on saturation and hue.

    A pixel is tissue if its saturation passes the saturation threshold, or if its hue passes the hue threshold
    and its saturation the floor. The paper combines the two masks without saying how; a logical "and" would lose
    pale tissue.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3), usually the whole slide at 5 to 20 µm/px.
    saturation_floor
        0..1, minimum saturation of tissue.
    """
    # A 3 x 3 median removes single noisy pixels, whose hue is random, and keeps edges.
    smooth = np.asarray(cv2.medianBlur(np.ascontiguousarray(rgb), 3), np.uint8)
    hsv = cv2.cvtColor(_white_glass(smooth), cv2.COLOR_RGB2HSV)
    hue, saturation = np.ascontiguousarray(hsv[..., 0]), np.ascontiguousarray(hsv[..., 1])
    floor = 255 * saturation_floor
    # Capped, or Otsu would separate dark brown from pale tissue instead of tissue from glass.
    capped = np.minimum(saturation, _SATURATION_CAP)
    by_saturation, _ = cv2.threshold(capped, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    # Blue and brown are on either side of red, so hue is measured as distance from green, which no stain has.
    turn = np.abs(hue.astype(np.int16) - _GREEN)
    away = np.minimum(turn, 180 - turn).astype(np.uint8)
    by_hue, _ = cv2.threshold(away, 0, 90, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    tissue = (saturation > max(by_saturation, floor)) | ((away > by_hue) & (saturation > floor))
    return np.asarray(tissue, bool)


def _white_glass(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale the channels so that the brightest tenth is white, because tinted glass looks like pale tissue."""
    # The darkest channel is low on stain of any colour, so its top decile is glass.
    darkest = rgb.min(axis=2)
    glass = np.median(rgb[darkest >= np.percentile(darkest, 90)], axis=0)
    scaled: NDArray[np.uint8] = np.minimum(rgb * (255 / np.maximum(glass, 1)), 255).astype(np.uint8)
    return scaled


def detached_pieces(
    rgb: NDArray[np.uint8],
    pixel_size_um: float,
    settings: ControlSettings | None = None,
    indicators: IndicatorSettings | None = None,
) -> tuple[NDArray[np.int32], tuple[Piece, ...]]:
    """Find the detached pieces of tissue on a slide, and those that look like strongly stained controls.

    A control is much smaller than the largest piece and much browner; the largest piece never is one. On a slide
    that is strongly stained throughout no control stands out and none is excluded, which does not change the
    score.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3), the whole slide.
    pixel_size_um
        Pixel size of `rgb`, µm.
    settings
        Criteria of a control.
    indicators
        Thresholds for brown.

    Returns
    -------
    labels
        int32 (H, W), 0 = no tissue or debris, else the label of the piece.
    pieces
        Largest first.
    """
    settings = settings or ControlSettings()
    coarse = replace(indicators or IndicatorSettings(), pixel_size_um=pixel_size_um)
    tissue = tissue_mask(rgb, settings.saturation_floor)
    # Closing joins pieces up to one kernel apart; OpenCV kernels need an odd side.
    reach = 2 * max(1, round(settings.gap_um / pixel_size_um / 2)) + 1
    # Padded, or closing would join a piece to the border of the picture.
    padded = np.pad(tissue.astype(np.uint8), reach)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    joined = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[reach:-reach, reach:-reach]
    n, joined_labels = cv2.connectedComponents(np.ascontiguousarray(joined))
    # The closed mask only decides which pieces belong together; areas count tissue, not the bridges.
    labels = np.where(tissue, np.asarray(joined_labels), 0).astype(np.int32)
    area_px = np.bincount(labels.ravel(), minlength=n)
    brown_px = np.bincount(labels[brown_mask(rgb, coarse)], minlength=n)
    area = area_px * (pixel_size_um / 1000) ** 2
    order = [
        k for k in np.argsort(-area, kind="stable").tolist() if k and area[k] >= settings.piece_area_mm2_min
    ]
    share = brown_px / np.maximum(area_px, 1)
    pieces = tuple(
        Piece(k, float(area[k]), float(share[k]), _is_control(k, order[0], area, share, settings))
        for k in order
    )
    labels[~np.isin(labels, order)] = 0
    return labels, pieces


def _is_control(
    piece: int, main: int, area: NDArray[np.floating], share: NDArray[np.floating], settings: ControlSettings
) -> bool:
    return bool(
        piece != main
        and area[piece] <= settings.area_ratio_max * area[main]
        and share[piece] >= settings.brown_share_min
        and share[piece] >= settings.brown_ratio_min * share[main]
    )


def measured_area(
    rgb: NDArray[np.uint8],
    pixel_size_um: float,
    *,
    keep_controls: bool = False,
    settings: ControlSettings | None = None,
    indicators: IndicatorSettings | None = None,
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Return the area of a slide to measure, and a warning for each piece that looks like a control.

    Parameters
    ----------
    rgb, pixel_size_um
        As in `detached_pieces`.
    keep_controls
        Measure pieces that look like controls too; the warnings then say so.
    settings, indicators
        As in `detached_pieces`.

    Returns
    -------
    mask
        bool (H, W), for `slide.patch_boxes`.
    warnings
        One sentence per control, so that no tissue is excluded silently.
    """
    labels, pieces = detached_pieces(rgb, pixel_size_um, settings, indicators)
    controls = [piece for piece in pieces if piece.is_control]
    done = "included as requested" if keep_controls else "excluded; pass --keep-controls to include it"
    warnings = tuple(
        f"A detached piece of tissue ({piece.area_mm2:.2f} mm², {100 * piece.brown_share:.0f} % brown) looks like "
        f"control tissue: {done}."
        for piece in controls
    )
    # Debris has label 0 already, so it is never measured.
    mask = labels > 0
    if not keep_controls:
        mask &= ~np.isin(labels, [piece.label for piece in controls])
    return mask, warnings
