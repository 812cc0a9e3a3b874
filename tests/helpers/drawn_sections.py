"""Two sections of one drawn piece of tissue, in different stains, one of them turned, shifted, sheared or mirrored.

Anatomy (outline, glands, how densely cells lie) is shared; the cells themselves are drawn anew for each section, as in
neighbouring sections of one block.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

HEMATOXYLIN = np.array([0.65, 0.70, 0.29])
EOSIN = np.array([0.07, 0.99, 0.11])
DAB = np.array([0.27, 0.57, 0.78])
GLASS = 242


def smooth(rng: np.random.Generator, shape: tuple[int, int], sigma_px: float) -> np.ndarray:
    field = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), sigma_px)
    return (field - field.mean()) / field.std()


@dataclass(frozen=True)
class Anatomy:
    """Where tissue and glands are, bool (H, W), and how densely cells lie, 0..1."""

    mask: np.ndarray
    glands: np.ndarray
    density: np.ndarray

    @classmethod
    def drawn(cls, seed: int, high: int = 420, wide: int = 540) -> Anatomy:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:high, :wide]
        radius = np.hypot((x - wide / 2) / (0.40 * wide), (y - high / 2) / (0.40 * high))
        mask = radius + 0.25 * smooth(rng, (high, wide), 40) < 1
        glands = smooth(rng, (high, wide), 7) > 0.5
        return cls(mask, glands, np.clip(0.5 + 0.25 * smooth(rng, (high, wide), 3), 0.1, 1))


def stained(anatomy: Anatomy, stain: str, seed: int, *, dab: float = 0.3) -> np.ndarray:
    """uint8 (H, W, 3) of the anatomy in ``H&E`` or ``IHC`` with `dab` OD in its glands."""
    rng = np.random.default_rng(seed)
    shape = anatomy.mask.shape
    own_cells = np.clip(1 + 0.35 * smooth(rng, shape, 1.5), 0, None)
    h = anatomy.mask * np.where(anatomy.glands, 0.35, 0.12) * anatomy.density * own_cells
    if stain == "H&E":
        e = anatomy.mask * np.where(anatomy.glands, 0.12, 0.22) * (1 + 0.2 * smooth(rng, shape, 3))
        od = h[..., None] * HEMATOXYLIN + e[..., None] * EOSIN
    else:
        d = anatomy.mask * anatomy.glands * dab * np.clip(1 + 0.4 * smooth(rng, shape, 1.2), 0, None)
        od = 0.8 * h[..., None] * HEMATOXYLIN + d[..., None] * DAB + (0.03 * anatomy.mask)[..., None]
    grey = GLASS * 10**-od + rng.normal(0, 2, od.shape)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def affine_px(
    angle_deg: float,
    shape_in: tuple[int, ...],
    shape_out: tuple[int, ...],
    *,
    is_mirrored: bool = False,
    shear: float = 0.0,
    scale: float = 1.0,
    shift_px: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """float64 (3, 3): from px of a picture (corners) to px of another, middle on middle but for the shift."""
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear], [0, 1]])
    linear = scale * linear @ np.diag([-1.0 if is_mirrored else 1.0, 1.0])
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = np.array(shape_out[1::-1]) / 2 + shift_px - linear @ (np.array(shape_in[1::-1]) / 2)
    return matrix


def laid(picture: np.ndarray, matrix: np.ndarray, shape_out: tuple[int, int]) -> np.ndarray:
    """The picture under `matrix` on glass, uint8 (*shape_out, 3)."""
    centres = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    px = np.linalg.inv(centres) @ matrix @ centres
    return cv2.warpAffine(
        picture, px[:2], shape_out[::-1], flags=cv2.INTER_LINEAR, borderValue=(GLASS, GLASS, GLASS)
    )


def write_png(path: Path, rgb: np.ndarray) -> Path:
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return path
