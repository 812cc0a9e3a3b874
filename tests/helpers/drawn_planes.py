"""Planes and images drawn by formula, and slides held in memory, for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qupath_her2.cells.stain_planes import Planes
from qupath_her2.slides.readers.base import BaseSlide
from qupath_her2.slides.stains.vectors import StainVectors

Plane = NDArray[np.float32]

#: Stain vectors far apart from each other, and near those of real cores.
STAINS = StainVectors((0.68, 0.65, 0.34), (0.34, 0.57, 0.74), (240.0, 240.0, 240.0))


def around(shape: tuple[int, int], x: float, y: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distance of every pixel centre to (x, y), pixels, and its direction in turns, 0..1 from +x to +y."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    turn = np.arctan2(rows - y, columns - x) / (2 * np.pi) % 1
    return np.hypot(columns - x, rows - y), turn


def disc(shape: tuple[int, int], x: float, y: float, radius_px: float, soft_px: float = 1.0) -> Plane:
    """Draw 1 inside a circle and 0 outside, 0.5 at `radius_px`, with a soft edge of about `soft_px` on either side."""
    distance, _ = around(shape, x, y)
    return (1 / (1 + np.exp((distance - radius_px) / (soft_px / 2)))).astype(np.float32)


def discs(*circles: tuple[float, float, float], shape: tuple[int, int] = (80, 100)) -> Plane:
    """Draw 1 inside circles (x, y, radius), pixels, with edges that fall to 0 over one pixel."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = [np.clip(0.5 + r - np.hypot(x - cx, y - cy), 0, 1) for cx, cy, r in circles]
    return np.max(inside, axis=0).astype(np.float32)


def ring(
    shape: tuple[int, int], x: float, y: float, radius_px: float, fwhm_px: float, share: float = 1.0
) -> Plane:
    """Draw a ridge of Gaussian profile and height 1 along a circle, over the first `share` of its turn."""
    distance, turn = around(shape, x, y)
    sigma = fwhm_px / 2.3548
    ridge = np.exp(-((distance - radius_px) ** 2) / (2 * sigma**2))
    return np.where(turn <= share, ridge, 0).astype(np.float32)


def planes_of(um_px: float = 0.5, **known: Plane) -> Planes:
    """Return stain planes with the `known` ones; all others are 0."""
    shape = next(iter(known.values())).shape
    names = ("hematoxylin", "dab", "nuclear", "nuclear_contrast", "seed", "ridge")
    zero = np.zeros(shape, np.float32)
    # Nothing drawn here is grey, so both DAB planes are equal.
    all_dab = known.get("all_dab", known.get("dab", zero))
    return Planes(**{name: known.get(name, zero) for name in names}, all_dab=all_dab, um_px=um_px)


def rgb_of(hematoxylin: Plane, dab: Plane, stains: StainVectors = STAINS) -> NDArray[np.uint8]:
    """Render two stain planes as RGB by the Beer-Lambert law, without optics or noise."""
    vectors = stains.matrix()[:2]
    density = hematoxylin[..., None] * vectors[0] + dab[..., None] * vectors[1]
    light = np.array(stains.background_rgb) * 10.0**-density
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


class ArraySlide(BaseSlide):
    """A slide whose only level is an array in memory."""

    reader = "array"

    def __init__(self, rgb: NDArray[np.uint8]) -> None:
        super().__init__(Path("drawn"), ((rgb.shape[1], rgb.shape[0]),))
        self._rgb = rgb

    def _decode(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        return self._rgb[y : y + height, x : x + width].copy()
