"""Perturbations of a finished image, as scanners and file formats cause them."""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import SettingsError
from qupath_her2.synthetic.optics import jpeg

__all__ = ["Perturbation", "perturb"]

Perturbation = Literal["jpeg", "tint", "gamma", "blur", "noise"]


def perturb(
    rgb: NDArray[np.uint8],
    kind: Perturbation,
    amount: float,
    pixel_size_um: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return a perturbed copy of an image.

    Changes of tissue and stain act before the optics: set them in `FieldSettings` instead.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3).
    kind
        ``jpeg`` (amount: quality 1..100), ``tint`` (each channel's gain is drawn from 1 - amount to 1 + amount),
        ``gamma`` (amount: exponent on 0..1), ``blur`` (amount: sigma in µm), ``noise`` (amount: SD in grey levels).
    amount
        Strength of the perturbation, in the unit of its kind.
    pixel_size_um
        µm/px, used by ``blur``.
    rng
        Random generator, used by ``tint`` and ``noise``.

    Returns
    -------
    NDArray[np.uint8]
        uint8 (H, W, 3).

    Raises
    ------
    SettingsError
        If the kind is unknown or the amount is out of its range.
    """
    if kind not in get_args(Perturbation):
        raise SettingsError(
            f"Unknown perturbation {kind!r}. Choose one of: {', '.join(get_args(Perturbation))}."
        )
    if amount < 0 or (kind in ("gamma", "jpeg") and amount == 0):
        raise SettingsError(f"Perturbation {kind!r} cannot have the amount {amount}. Give a positive number.")
    if kind == "jpeg":
        return jpeg(rgb, int(amount))
    # OpenCV refuses a sigma of 0 where it is to choose the kernel's size.
    if kind == "blur" and amount == 0:
        return rgb.copy()
    light: NDArray[np.float32] = rgb.astype(np.float32)
    if kind == "tint":
        light *= rng.uniform(1 - amount, 1 + amount, 3).astype(np.float32)
    elif kind == "gamma":
        light = np.asarray(255 * (light / 255) ** amount, np.float32)
    elif kind == "blur":
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), amount / pixel_size_um), np.float32)
    else:
        light += amount * rng.standard_normal(light.shape, dtype=np.float32)
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)
