"""Where patches may lie: a lattice over the image, or random places, in whole level-0 pixels.

Scale is in µm per pixel, never a pyramid level. The lattice starts at the image's corner and not at a region's,
so that patches of two regions never overlap by accident, stay where they are when a person moves an edge, and
fall on the tiles of the file.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from qupath_her2.errors import PatchError, SettingsError

__all__ = ["GridSettings", "PatchScale", "grid_boxes", "patch_scale", "random_boxes"]

#: Random places tried for each place found, before a shape is taken to have no room for more.
_MOST_TRIES = 2_000
_TRIES_AT_ONCE = 4_096


@dataclass(frozen=True, slots=True)
class GridSettings:
    """Size and scale of patches.

    Attributes
    ----------
    patch_size_px
        Side of the picture that a network sees, px.
    target_um_px
        Its scale, µm per px; 0 takes the image as it lies, whatever its scale.
    stride_px
        From one patch to the next, px of the picture; 0 = `patch_size_px`, no overlap.
    native_within
        Images whose own pixels are within this share of `target_um_px` are not scaled: scanners
        call 0.22 to 0.26 µm/px "40x", and scaling by a few per cent only blurs.
    """

    patch_size_px: int = 512
    target_um_px: float = 0.25
    stride_px: int = 0
    native_within: float = 0.05

    def __post_init__(self) -> None:
        if self.patch_size_px < 8:
            raise SettingsError(f"patch_size_px is {self.patch_size_px}; a patch has at least 8 px.")
        if not (self.target_um_px == 0 or 0.05 <= self.target_um_px <= 100):
            raise SettingsError(
                f"target_um_px is {self.target_um_px:g}; typical are 0.25 (40x) and 0.5 (20x), 0 takes images as they "
                "lie."
            )
        if self.stride_px < 0 or not 0 <= self.native_within < 0.5:
            raise SettingsError(
                f"stride_px {self.stride_px} and native_within {self.native_within:g} must be 0 or more; "
                "native_within is a share under 0.5."
            )


@dataclass(frozen=True, slots=True)
class PatchScale:
    """Patches in level-0 px of one image: `side` of a patch and `stride` to the next; `um_px` of the picture, µm."""

    side: int
    stride: int
    um_px: float


def patch_scale(pixel_size_um: float | None, settings: GridSettings, name: str = "") -> PatchScale:
    """Return how large a patch is in an image.

    Parameters
    ----------
    pixel_size_um
        Of level 0, µm; None or NaN where unknown.
    settings
        Size and scale of patches.
    name
        Of the image, for the message.

    Raises
    ------
    PatchError
        The image has no pixel size, or its pixels are coarser than the patches' would be; says the way out.
    """
    size, stride = settings.patch_size_px, settings.stride_px or settings.patch_size_px
    target = settings.target_um_px
    known = pixel_size_um is not None and math.isfinite(pixel_size_um)
    if target == 0:
        return PatchScale(size, stride, float(pixel_size_um or math.nan) if known else math.nan)
    if not known:
        raise PatchError(
            f"Image '{name}' has no pixel size. Set it in QuPath (Image tab → Pixel width), pass "
            "--pixel-size-um 0.25, or take images as they lie with --um-px 0."
        )
    native = float(pixel_size_um or math.nan)
    if abs(native / target - 1) <= settings.native_within + 1e-9:
        return PatchScale(size, stride, native)
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
    """Return the boxes of the lattice that meet `bounds` and lie wholly inside the image, row by row.

    What is left at the right and lower edge, less than a patch, is not covered.

    Parameters
    ----------
    width, height
        Of the image, level-0 px.
    bounds
        Min x, min y, max x, max y, level-0 px; boxes that only touch them are left out.
    scale
        Side and stride.

    Returns
    -------
    NDArray[np.int32]
        int32 (N, 4), left, top, width, height, level-0 px.
    """
    side, stride = scale.side, scale.stride
    axes = []
    for low, high, size in ((bounds[0], bounds[2], width), (bounds[1], bounds[3], height)):
        # The first box whose far edge lies beyond `low`, and the last whose near edge lies before `high`.
        first = max(0, math.floor((low - side) / stride) + 1)
        last = min((size - side) // stride, math.ceil(high / stride) - 1)
        axes.append(np.arange(first, last + 1, dtype=np.int64) * stride)
    x, y = np.meshgrid(*axes)
    boxes = np.stack([x.ravel(), y.ravel(), np.full(x.size, side), np.full(x.size, side)], axis=1)
    return boxes.astype(np.int32)


def random_boxes(
    shape: shapely.Geometry, n: int, width: int, height: int, side: int, seed: int, key: str = ""
) -> NDArray[np.int32]:
    """Return `n` boxes at random places with their centre inside a shape, wholly inside the image.

    Stage 1 of the IHC-indicator system draws tumour and normal patches so (Che et al. 2023, doi
    10.3390/diagnostics13020263).

    Parameters
    ----------
    shape
        Polygon or multipolygon, level-0 px.
    n
        How many; fewer come where the shape has no room.
    width, height
        Of the image, level-0 px.
    side
        Of a box, level-0 px.
    seed, key
        The same boxes for the same two, on every machine.

    Returns
    -------
    NDArray[np.int32]
        int32 (up to n, 4); the same place is not drawn twice.
    """
    digest = hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "surrogatepass")).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
    half = side / 2
    inside = shapely.intersection(shape, shapely.box(half, half, width - half, height - half))
    if n < 1 or width < side or height < side or inside.is_empty or inside.area == 0:
        return np.zeros((0, 4), np.int32)
    shapely.prepare(inside)
    min_x, min_y, max_x, max_y = inside.bounds
    found: dict[tuple[int, int], None] = {}
    for _ in range(0, _MOST_TRIES * n, _TRIES_AT_ONCE):
        centres = rng.random((_TRIES_AT_ONCE, 2)) * (max_x - min_x, max_y - min_y) + (min_x, min_y)
        kept = centres[shapely.contains_xy(inside, centres)]
        corners = np.clip(np.floor(kept - half + 0.5).astype(int), 0, (width - side, height - side))
        found.update(dict.fromkeys(map(tuple, corners.tolist())))
        if len(found) >= n:
            break
    corners = np.array(list(found)[:n], np.int32).reshape(-1, 2)
    return np.concatenate([corners, np.full_like(corners, side)], axis=1)
