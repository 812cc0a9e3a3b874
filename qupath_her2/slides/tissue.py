"""Tissue detection at about 8 µm per pixel that keeps pale, unstained tissue.

Otsu's threshold separates dark from pale tissue instead of pale tissue from glass, so that pale 0/1+ tissue is lost.
Here the glass is found first (bright, neutral, without texture); tissue is whatever is darker than this glass and
textured, or clearly darker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.setting_ranges import Density, Range, check_order, check_settings
from qupath_her2.slides.readers.slide import Slide
from qupath_her2.slides.stains.vectors import optical_density

__all__ = ["Tissue", "TissueSettings", "find_tissue", "read_for_mask", "read_thumbnail", "without_dust"]

_White = tuple[float, float, float]
_Mask = NDArray[np.bool_]
#: Bytes of pixels per read while a thumbnail is made; bounds the memory for slides of any size.
_STRIP_BYTES = 96 * 2**20
#: Fewest thumbnail pixels from which the colour of the glass is taken.
_MIN_GLASS_PIXELS = 20
#: A piece that makes up this share of the image is tissue, not dust, however small the image.
_DUST_SHARE = 0.02
#: A gap that makes up this share of the image is glass, not a hole in the tissue, however small the image.
_GLASS_SHARE = 0.25
#: Side of the windows in which ink is even, µm: narrower than any pen stroke, wider than several nuclei.
_INK_WINDOW_UM = 40.0
#: Gaps between nuclei in tissue whose stroma or cytoplasm is nearly clear, µm.
_NUCLEAR_GAP_UM = 24.0
#: Largest coefficient of variation of the optical density in such a window of ink. Streaky strokes have up to 0.06;
#: the nuclei of a dense lymphoid infiltrate have 0.24 at 8 µm per pixel, and more on finer pixels.
_MAX_INK_VARIATION = 0.2
#: Least optical density of a fold in each of red, green and blue, averaged over about 8 µm, where it is three such
#: pixels wide: several layers of tissue let no colour through. 19 real pictures have up to 0.32 at any place of that
#: width, and one whose densest 3+ nests have 0.45; no real fold has been measured.
_FOLD_OD = 0.55
_FOLD_WIDTH_UM = 24.0
#: Darkest level of glass under a dim lamp, and the largest difference between its colours. Two of 27 real pictures are
#: dim (181 and 182 in all colours); the others have 205 or more, with differences of up to 8.
_DIM_GLASS, _DIM_CAST = 150, 8
#: Pixel size taken for these two alone where none is known, µm: that of 40x. On coarser pixels they cover more, up to a
#: tenth of a millimetre, still less than a pen stroke.
_USUAL_PIXEL_SIZE_UM = 0.25


@dataclass(frozen=True, slots=True)
class TissueSettings:
    """Scale and thresholds of the tissue detection.

    Attributes
    ----------
    pixel_size_um
        Pixel size of the mask, µm; finer for images less than 128 such pixels across.
    max_downsample
        Downsample for images without a pixel size.
    faint_od, faint_texture_od
        A pixel is tissue if both its mean OD above the glass and its local standard deviation exceed these, OD.
    clear_od
        A pixel is tissue, whatever its texture, if its mean OD above the glass exceeds this, OD.
    min_piece_um2, max_hole_um2
        Smaller pieces count as dust and are dropped, unless they make up 2 % of the image, as in a crop that is all
        tissue; smaller holes are filled; µm².
    min_piece_px, max_hole_px
        The same in mask pixels, for images without a pixel size.
    """

    # Finer, the mask of a slide would not fit into memory; coarser, a core biopsy is a few pixels wide.
    pixel_size_um: Annotated[float, Range(1, 64, "µm")] = 8.0
    max_downsample: Annotated[int, Range(1, 1024)] = 32
    faint_od: Density = 0.007
    faint_texture_od: Density = 0.0028
    clear_od: Density = 0.03
    # 1e8 µm² is a square centimetre.
    min_piece_um2: Annotated[float, Range(0, 1e8, "µm²")] = 10_000.0
    max_hole_um2: Annotated[float, Range(0, 1e8, "µm²")] = 5_000.0
    min_piece_px: Annotated[float, Range(0, 1e6, "px")] = 150.0
    max_hole_px: Annotated[float, Range(0, 1e6, "px")] = 75.0

    def __post_init__(self) -> None:
        check_settings(self)
        check_order(self, "faint_od", "clear_od", is_strict=False)


@dataclass(frozen=True, slots=True)
class Tissue:
    """Tissue mask of a slide.

    Attributes
    ----------
    mask
        bool (h, w), True on tissue; the left edge of column j lies at level-0 x = ``j * downsample``.
    downsample
        Level-0 pixels per mask pixel.
    background_rgb
        Colour of the glass; if no glass is visible, that of the brightest gaps in the tissue; (255, 255, 255) if these
        are neither white nor grey.
    width, height
        Size of the image, level-0 px.
    ink_share
        Share of the image that was taken for pen marks, 0 to 1.
    ink, folds
        bool (h, w), the pen marks, and folds of the tissue, which are part of the mask; None where not sought.
    """

    mask: NDArray[np.bool_]
    downsample: float
    background_rgb: tuple[float, float, float]
    width: int
    height: int
    ink_share: float = 0.0
    ink: NDArray[np.bool_] | None = None
    folds: NDArray[np.bool_] | None = None


def read_thumbnail(slide: Slide, downsample: int) -> tuple[NDArray[np.uint8], float]:
    """Read the whole image area-averaged, strip by strip from the coarsest level that is fine enough.

    Parameters
    ----------
    slide
        An open image.
    downsample
        Requested level-0 px per thumbnail px, >= 1.

    Returns
    -------
    rgb
        uint8 (h, w, 3); the last row and column may be averaged with white beyond the image.
    downsample
        The actual downsample: the level's own times a whole number, at most the requested one.

    Raises
    ------
    ImageReadError
        If the file cannot be read.
    """
    level = max(n for n, d in enumerate(slide.level_downsamples) if d <= max(1, downsample))
    level_downsample = slide.level_downsamples[level]
    # A whole factor gives every thumbnail pixel the same number of level pixels, so strips join without seams.
    factor = max(1, int(downsample / level_downsample))
    step = level_downsample * factor
    level_width, level_height = slide.level_dimensions[level]
    columns, rows = -(-level_width // factor), -(-level_height // factor)
    rows_at_once = max(1, _STRIP_BYTES // (3 * columns * factor * factor))
    strips = []
    for top in range(0, rows, rows_at_once):
        n = min(rows_at_once, rows - top)
        strip = slide.read(0, round(top * step), columns * factor, n * factor, level)
        strips.append(cv2.resize(strip, (columns, n), interpolation=cv2.INTER_AREA))
    return cast("NDArray[np.uint8]", np.vstack(strips)), step


def find_tissue(
    slide: Slide, *, pixel_size_um: float | None = None, settings: TissueSettings | None = None
) -> Tissue:
    """Detect tissue, pale tissue included, without glass, pen marks and dust.

    Parameters
    ----------
    slide
        An open image.
    pixel_size_um
        µm per level-0 px; None takes the file's own. Without either, sizes count in mask pixels.
    settings
        Scale and thresholds.

    Returns
    -------
    Tissue
        The mask is empty for blank glass, and full (except pen marks) if the image shows no glass at all.

    Raises
    ------
    ImageReadError
        If the file cannot be read.
    """
    s = settings or TissueSettings()
    size_um = pixel_size_um or slide.pixel_size_um
    rgb, downsample = read_for_mask(slide, size_um, s)
    mask_um = (size_um or _USUAL_PIXEL_SIZE_UM) * downsample
    background, mask, ink = _tissue_mask(rgb, s, mask_um)
    area = (size_um * downsample) ** 2 if size_um else None
    max_hole = s.max_hole_um2 / area if area else s.max_hole_px
    mask = without_dust(mask, area, s)
    mask = ~_without_small(~mask, min(max_hole, _GLASS_SHARE * mask.size))
    folds = _is_fold(optical_density(rgb, background), mask_um) & ~ink
    return Tissue(mask, downsample, background, slide.width, slide.height, float(ink.mean()), ink, folds)


def read_for_mask(slide: Slide, size_um: float | None, s: TissueSettings) -> tuple[NDArray[np.uint8], float]:
    """Return the thumbnail of which a mask is made.

    Parameters
    ----------
    slide
        An open image.
    size_um
        µm per level-0 px; None where it is not known.
    s
        Pixel size of the mask.

    Returns
    -------
    tuple[NDArray[np.uint8], float]
        uint8 (H, W, 3), RGB, and level-0 px per pixel, as from `read_thumbnail`.

    Raises
    ------
    ImageReadError
        If the file cannot be read.
    """
    wanted = int(s.pixel_size_um / size_um) if size_um else s.max_downsample
    # Small fields get at least 128 mask pixels across, or their outlines would be coarser than their cells.
    return read_thumbnail(slide, max(1, min(wanted, max(slide.width, slide.height) // 128)))


def without_dust(mask: NDArray[np.bool_], area_um2: float | None, s: TissueSettings) -> NDArray[np.bool_]:
    """Return a mask without pieces too small for tissue.

    Parameters
    ----------
    mask
        bool (H, W).
    area_um2
        Of a mask pixel; None where it is not known.
    s
        Smallest piece.

    Returns
    -------
    NDArray[np.bool_]
        bool (H, W).
    """
    least = s.min_piece_um2 / area_um2 if area_um2 else s.min_piece_px
    return _without_small(mask, min(least, _DUST_SHARE * mask.size))


def _tissue_mask(rgb: NDArray[np.uint8], s: TissueSettings, mask_um: float) -> tuple[_White, _Mask, _Mask]:
    """Return background colour, tissue and ink, before small pieces and holes are removed; `mask_um` as `_is_pen`."""
    grey = optical_density(rgb).mean(axis=2)
    texture = _local_std(grey)
    background = _glass_colour(rgb, texture < s.faint_texture_od)
    if background is None:
        gaps = _brightest_colour(rgb) or (255.0, 255.0, 255.0)
        ink = _is_pen(optical_density(rgb, gaps), mask_um)
        return gaps, ~ink, ink
    od = optical_density(rgb, background)
    # A light blur suppresses single noisy pixels of glass but keeps thin strands of tissue.
    darkness = cv2.GaussianBlur(od.mean(axis=2), (0, 0), 1.0)
    faint = (darkness > s.faint_od) & (texture > s.faint_texture_od)
    # Pale gaps between nuclei have no texture; closing bridges gaps of up to four pixels, and finer ones of 24 µm.
    width = _odd_px(_NUCLEAR_GAP_UM, mask_um)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    mask = (faint | (darkness > s.clear_od)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    # Blur and closing extend dark tissue by one or two pixels onto the glass; remove that rim where it is bright.
    rim = (mask > 0) & (cv2.erode(mask, np.ones((5, 5), np.uint8)) == 0)
    rim &= od.mean(axis=2) < s.faint_od
    ink = _is_pen(od, mask_um)
    return background, (mask > 0) & ~rim & ~ink, ink


def _odd_px(width_um: float, mask_um: float) -> int:
    """Return a width in whole mask pixels, odd and at least 5."""
    return max(5, round(width_um / mask_um) | 1)


def _local_std(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = cv2.blur(grey, (5, 5))
    square = cv2.blur(grey * grey, (5, 5))
    return cast("NDArray[np.float32]", np.sqrt(np.maximum(square - mean * mean, 0)))


def _glass_colour(rgb: NDArray[np.uint8], flat: _Mask) -> _White | None:
    """Return the most frequent colour of bright, neutral pixels without texture; None if these are less than 1 %."""
    glass = rgb[flat & _is_white(rgb)]
    if len(glass) < max(_MIN_GLASS_PIXELS, 0.01 * flat.size):
        return None
    # Mucus and mounting plastic have no texture either, but are darker: keep the brighter half.
    brightness = glass.min(axis=1)
    glass = glass[brightness >= np.percentile(brightness, 50) - 8]
    return cast(_White, tuple(float(np.bincount(glass[:, c], minlength=256).argmax()) for c in range(3)))


def _brightest_colour(rgb: NDArray[np.uint8]) -> _White | None:
    """Return the colour of the brightest 0.5 % (lumens and cracks); None if it is neither white nor a neutral grey.

    A crop full of tissue shows no glass, yet the white point of the scanner must be known: if (255, 255, 255) is
    assumed, a colour cast of a few per cent makes pale tissue look like eosin.
    """
    # The last row and column of a thumbnail may contain white from beyond the image.
    rgb = rgb[:-1, :-1]
    if rgb.size == 0:
        return None
    brightness = rgb.min(axis=2)
    gaps = rgb[brightness >= np.percentile(brightness, 99.5)]
    colour = np.median(gaps, axis=0)
    # Under a dim lamp glass is grey, but more neutral than any stained tissue.
    is_grey = colour.min() >= _DIM_GLASS and np.ptp(colour) <= _DIM_CAST
    if len(gaps) < _MIN_GLASS_PIXELS or not (is_grey or _is_white(colour[None, None])[0, 0]):
        return None
    return cast(_White, tuple(float(value) for value in colour))


def _is_white(rgb: NDArray[Any]) -> _Mask:
    """Return where pixels are bright and nearly neutral, as glass is on any scanner."""
    # Signed, for the difference of two bytes.
    low, high = rgb.min(axis=2).astype(np.int16), rgb.max(axis=2).astype(np.int16)
    return cast(_Mask, (low >= 195) & (high - low <= 30))


def _is_pen(od: NDArray[np.float32], mask_um: float) -> _Mask:
    """Return where a pen has drawn: the colour is that of ink, evenly over more than a few nuclei.

    Haematoxylin absorbs red and green about equally (0.65 : 0.70), DAB and eosin absorb green more than red. Blue ink
    absorbs red much more than green, green ink absorbs green least, red ink absorbs no red, and black ink absorbs all
    three equally and strongly. Some laboratories' haematoxylin is as blue as ink, but lies in nuclei.

    Parameters
    ----------
    od
        Optical density above the glass, float32 (h, w, 3).
    mask_um
        Pixel size, µm.

    Returns
    -------
    NDArray[np.bool_]
        (h, w), True on ink and its blurred rim.
    """
    smooth = cast("NDArray[np.float32]", cv2.blur(od, (3, 3)))
    red, green, blue = smooth[..., 0], smooth[..., 1], smooth[..., 2]
    strongest = np.maximum(smooth.max(axis=2), 1e-6)
    blue_ink = (red > 0.2) & (red > 1.2 * green)
    green_ink = (strongest > 0.2) & (green < 0.8 * red) & (green < 0.8 * blue)
    red_ink = (green > 0.4) & (red < 0.12 * green) & (blue > 0.75 * green)
    black_ink = (smooth.min(axis=2) > 0.65) & (smooth.min(axis=2) > 0.85 * strongest)
    ink = (blue_ink | green_ink | red_ink | black_ink).astype(np.uint8)
    # Single pixels of these colours are pigment; a pen stroke is at least three pixels wide, plus its blurred rim.
    ink = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    if not ink.any():
        return ink.astype(bool)
    window = _odd_px(_INK_WINDOW_UM, mask_um)
    darkness = od.max(axis=2)
    mean = cv2.blur(darkness, (window, window))
    spread = np.sqrt(np.maximum(cv2.blur(darkness * darkness, (window, window)) - mean * mean, 0))
    core = ink & (spread < _MAX_INK_VARIATION * mean)
    # Windows at the edge of a stroke contain glass: the stroke reaches half a window beyond its even core.
    ink = cv2.bitwise_and(ink, cv2.dilate(core, np.ones((window + 2, window + 2), np.uint8)))
    return cast(_Mask, cv2.dilate(ink, np.ones((5, 5), np.uint8)).astype(bool))


def _is_fold(od: NDArray[np.float32], mask_um: float) -> _Mask:
    """Return where several layers of tissue lie on each other, bool (h, w); `mask_um` as for `_is_pen`."""
    # Averaged to about 8 µm: single nuclei and pigment are as dark, but smaller.
    side = max(1, round(_FOLD_WIDTH_UM / 3 / mask_um))
    darkness = cv2.blur(od, (side, side)).min(axis=2)
    width = max(3, round(_FOLD_WIDTH_UM / mask_um))
    dark = (darkness > _FOLD_OD).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((width, width), np.uint8)) > 0)


def _without_small(mask: _Mask, min_area_px: float) -> _Mask:
    # Not skimage's remove_small_objects: it gives the same at the same speed, but the versions of scikit-image that
    # this package supports disagree on the name of its size argument.
    n, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= min_area_px
    keep[0] = False
    return cast(_Mask, keep[labels]) if n > 1 else np.zeros_like(mask)
