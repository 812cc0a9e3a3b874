"""Affine transforms of optical density, the common form of stain normalisation and stain jitter.

Both are affine in the three optical densities of a pixel, so that any chain of them is a single 3 x 3 matrix and
offset, applied to a whole batch at once: here by numpy and OpenCV, or on a GPU with the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from qupath_her2.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DensityMap", "apply_density_map", "density_lut"]

_LN10 = math.log(10.0)
#: Pixels per block: their float32 densities fit into a core's L2 cache.
_BLOCK_PX = 32_768
#: OpenCV scalars have four components, whatever the number of channels.
_ONE = np.ones(4)


@dataclass(frozen=True, slots=True, eq=False)
class DensityMap:
    """An affine transform of log10 optical density.

    A pixel with grey values I has density ``d = -log10((I + 1) / white_in)``. The transform gives
    ``d' = matrix @ d + offset`` and ``I' = white_out * 10 ** -d' - 1``, rounded and clipped to 0..255. The 1 is added
    so that black has a finite density, as in the published code of Macenko's method (`macenko`).

    Attributes
    ----------
    matrix
        float64 (3, 3), from the densities of red, green and blue to the new ones.
    offset
        float64 (3,), OD.
    white_in, white_out
        Grey value plus one of unstained background, before and after; > 0.

    Raises
    ------
    SettingsError
        If a shape is wrong, a number is not finite, or a white value is not positive.
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    white_in: float
    white_out: float

    def __post_init__(self) -> None:
        matrix, offset = np.array(self.matrix, np.float64), np.array(self.offset, np.float64)
        numbers = [*matrix.flat, *offset.flat, self.white_in, self.white_out]
        if matrix.shape != (3, 3) or offset.shape != (3,) or not np.isfinite(numbers).all():
            raise SettingsError(
                f"A density map needs a 3 x 3 matrix and 3 offsets of finite numbers; got shapes {matrix.shape} "
                f"and {offset.shape}, values {[round(float(v), 4) for v in numbers]}."
            )
        if self.white_in <= 0 or self.white_out <= 0:
            raise SettingsError(
                f"The white values of a density map are {self.white_in:g} before and {self.white_out:g} after; "
                "both must be above 0, for example 240."
            )
        # The dataclass is frozen; the copies keep it safe from changes to the caller's arrays.
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "offset", offset)

    def then(self, other: DensityMap) -> DensityMap:
        """Return the map that applies this one and then `other`, without rounding to grey values in between."""
        # Leaving with one white value and entering with another adds a constant to the density.
        step = math.log10(other.white_in / self.white_out)
        return DensityMap(
            other.matrix @ self.matrix,
            other.matrix @ (self.offset + step) + other.offset,
            self.white_in,
            other.white_out,
        )


def density_lut(white: float) -> NDArray[np.float64]:
    """Return ``-log10((I + 1) / white)`` for the 256 grey values, float64 (256,)."""
    return cast("NDArray[np.float64]", -np.log10(np.arange(1, 257) / white))


def apply_density_map(rgb: NDArray[np.uint8], density_map: DensityMap) -> NDArray[np.uint8]:
    """Apply a density map to pixels.

    Parameters
    ----------
    rgb
        uint8 (..., 3): an image (H, W, 3) or a batch (N, H, W, 3).
    density_map
        The transform, the same for every pixel.

    Returns
    -------
    NDArray[np.uint8]
        uint8, same shape as `rgb`.

    Raises
    ------
    SettingsError
        If `rgb` is not uint8 with three channels as the last axis.
    """
    if rgb.dtype != np.uint8 or rgb.ndim < 2 or rgb.shape[-1] != 3:
        raise SettingsError(
            f"Pixels are {rgb.dtype} of shape {rgb.shape}; expected uint8 with red, green, blue as the last axis."
        )
    # All constants are folded into the affine transform: the base 10, the sign and the output white. What remains per
    # pixel is a table look-up, a matrix product and a natural exponential.
    white = math.log(density_map.white_out)
    affine = np.column_stack([-_LN10 * density_map.matrix, white - _LN10 * density_map.offset])
    affine32 = affine.astype(np.float32)
    lut = density_lut(density_map.white_in).astype(np.float32)[None]
    pixels = np.ascontiguousarray(rgb).reshape(-1, 1, 3)
    mapped = np.empty_like(pixels)
    for start in range(0, len(pixels), _BLOCK_PX):
        block = slice(start, start + _BLOCK_PX)
        grey = cv2.exp(cv2.transform(cv2.LUT(pixels[block], lut), affine32))
        # Subtracts, rounds and saturates to 0..255 in one pass.
        cv2.subtract(grey, _ONE, dst=mapped[block], dtype=cv2.CV_8U)
    return mapped.reshape(rgb.shape)
