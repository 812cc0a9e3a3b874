"""Positions of patches: a grid over the image, or random positions, in whole level-0 pixels.

Scale is in µm per pixel, never a pyramid level. The grid starts at the image's corner and not at a region's, so that
patches of two regions never overlap, stay in place when an annotation is edited, and line up with the file's tiles.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.errors import PatchError
from qupath_her2.setting_ranges import Range, check_settings

__all__ = ["GridSettings", "PatchScale", "grid_boxes", "patch_scale", "random_boxes"]

#: Random positions tried per patch asked for, before a region is considered full.
_MOST_TRIES = 2_000
_TRIES_AT_ONCE = 4_096


@dataclass(frozen=True, slots=True)
class GridSettings:
    """Size and scale of patches.

    Attributes
    ----------
    patch_size_px
        Side of the network's input, px.
    target_um_px
        Pixel size of the network's input, µm/px; 0 uses images at their own scale, whatever it is.
    stride_px
        Distance from one patch to the next, px of the network's input; 0 = `patch_size_px`, no overlap.
    native_within
        Images whose pixel size is within this share of `target_um_px` are not resized: scanners call 0.22 to
        0.26 µm/px "40x", and resizing by a few per cent only blurs.
    """

    patch_size_px: Annotated[int, Range(8, 16_384, "px")] = 512
    target_um_px: Annotated[float, Range(0.05, 100, "µm/px", or_zero=True)] = 0.25
    stride_px: Annotated[int, Range(0, 16_384, "px")] = 0
    native_within: Annotated[float, Range(0, 0.5, "(a share)", is_open="high")] = 0.05

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True)
class PatchScale:
    """Patches in one image: `side` and `stride` in level-0 px, `um_px` the pixel size of the resized patch, µm."""

    side: int
    stride: int
    um_px: float


def patch_scale(pixel_size_um: float | None, settings: GridSettings, name: str = "") -> PatchScale:
    """Return the size of a patch in level-0 pixels of an image.

    Parameters
    ----------
    pixel_size_um
        Pixel size of the image at level 0, µm; None or NaN where unknown.
    settings
        Size and scale of patches.
    name
        Name of the image, for the error message.

    Returns
    -------
    PatchScale
        Side and stride in whole level-0 px, and the scale that rounding the side leads to.

    Raises
    ------
    PatchError
        The image has no pixel size, or its pixels are coarser than the patches asked for.
    """
    size, stride = settings.patch_size_px, settings.stride_px or settings.patch_size_px
    target = settings.target_um_px
    known = pixel_size_um is not None and math.isfinite(pixel_size_um)
    if target == 0:
        return PatchScale(size, stride, float(pixel_size_um or math.nan) if known else math.nan)
    if not known:
        raise PatchError(
            f"Image '{name}' has no pixel size. Set it in QuPath (Image tab → Pixel width), pass "
            "--pixel-size-um 0.25, or use images at their own scale with --um-px 0."
        )
    native = float(pixel_size_um or math.nan)
    if abs(native / target - 1) <= settings.native_within + 1e-9:
        return PatchScale(size, stride, native)
    # Enlarging would invent detail that the scanner did not record.
    if native > target:
        raise PatchError(
            f"Image '{name}' has pixels of {native:g} µm, too coarse for patches at {target:g} µm/px. "
            f"Pass --um-px {native:g} or more, or leave the image out."
        )
    side = round(size * target / native)
    return PatchScale(side, max(1, round(stride * target / native)), native * side / size)


def grid_boxes(
    width: int, height: int, bounds: tuple[float, float, float, float], scale: PatchScale
) -> NDArray[np.int32]:
    """Return the boxes of the image's grid that intersect `bounds` and lie completely inside the image, row by row.

    A remainder smaller than a patch at the right and lower edge is not covered.

    Parameters
    ----------
    width, height
        Size of the image, level-0 px.
    bounds
        Min x, min y, max x, max y, level-0 px; boxes that only touch the bounds are left out.
    scale
        Side and stride of the patches.

    Returns
    -------
    NDArray[np.int32]
        int32 (N, 4), left, top, width, height, level-0 px.
    """
    side, stride = scale.side, scale.stride
    axes = []
    for low, high, size in ((bounds[0], bounds[2], width), (bounds[1], bounds[3], height)):
        # The first box whose far edge is beyond `low`, and the last whose near edge is before `high`.
        first = max(0, math.floor((low - side) / stride) + 1)
        last = min((size - side) // stride, math.ceil(high / stride) - 1)
        axes.append(np.arange(first, last + 1, dtype=np.int64) * stride)
    x, y = np.meshgrid(*axes)
    boxes = np.stack([x.ravel(), y.ravel(), np.full(x.size, side), np.full(x.size, side)], axis=1)
    return boxes.astype(np.int32)


def random_boxes(
    shape: shapely.Geometry, n: int, width: int, height: int, side: int, seed: int, key: str = ""
) -> NDArray[np.int32]:
    """Return `n` boxes at random positions, their centres inside a region and completely inside the image.

    Stage 1 of the IHC-indicator system samples tumour and normal patches in this way (Che et al. 2023, doi
    10.3390/diagnostics13020263).

    Parameters
    ----------
    shape
        Polygon or multipolygon, level-0 px.
    n
        Number of boxes asked for.
    width, height
        Size of the image, level-0 px.
    side
        Side of a box, level-0 px.
    seed, key
        Seed and any text, such as an image id; together they determine the boxes, on every machine.

    Returns
    -------
    NDArray[np.int32]
        int32 (K, 4), left, top, width, height, level-0 px; all different, K < n where the region has no room for more.
    """
    # Seeded by a hash of seed and key, and not from one stream for all images, so that adding an image does not
    # change the patches of the others.
    digest = hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "surrogatepass")).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
    half = side / 2
    # Centres closer than half a side to the image's edge would give boxes that reach beyond it.
    inside = shapely.intersection(shape, shapely.box(half, half, width - half, height - half))
    if n < 1 or width < side or height < side or inside.is_empty or inside.area == 0:
        return np.zeros((0, 4), np.int32)
    shapely.prepare(inside)
    min_x, min_y, max_x, max_y = inside.bounds
    found: dict[tuple[int, int], None] = {}
    for _ in range(0, _MOST_TRIES * n, _TRIES_AT_ONCE):
        centres = rng.random((_TRIES_AT_ONCE, 2)) * (max_x - min_x, max_y - min_y) + (min_x, min_y)
        # Rejection sampling: uniform over the region, whatever its shape.
        kept = centres[shapely.contains_xy(inside, centres)]
        corners = np.clip(np.floor(kept - half + 0.5).astype(int), 0, (width - side, height - side))
        # A dict as an ordered set: which boxes come first must not depend on hashing.
        found.update(dict.fromkeys(map(tuple, corners.tolist())))
        if len(found) >= n:
            break
    corners = np.array(list(found)[:n], np.int32).reshape(-1, 2)
    return np.concatenate([corners, np.full_like(corners, side)], axis=1)
