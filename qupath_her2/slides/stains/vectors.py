"""Stain vectors, optical density and colour deconvolution for haematoxylin-DAB images.

Method: Ruifrok AC, Johnston DA. Quantification of histochemical staining by color deconvolution.
Anal Quant Cytol Histol 2001;23:291-299. Optical density is log10, as QuPath's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import SettingsError
from qupath_her2.setting_ranges import Range, Text, check_settings, shown

__all__ = [
    "QUPATH_H_DAB",
    "StainVectors",
    "Vector",
    "density_tables",
    "optical_density",
    "stain_tables",
    "unit_vector",
    "unmix",
]

Vector: TypeAlias = tuple[float, float, float]

#: Optical densities; some write them as whole numbers up to 255. Third vectors can be negative.
_DENSITIES = Range(-255, 255, "OD")


@dataclass(frozen=True, slots=True)
class StainVectors:
    """Stain vectors of haematoxylin and DAB, and the background colour.

    Attributes
    ----------
    hematoxylin, dab
        Optical density of red, green and blue; scaled to unit length on creation.
    background_rgb
        Red, green, blue of unstained glass.
    source
        Origin of the vectors, in words; saved with the run.
    residual
        Third stain vector; None takes the normalised cross product of the other two, as QuPath does.

    Raises
    ------
    SettingsError
        If a value is out of range, a vector is zero, or the vectors are parallel.
    """

    hematoxylin: Annotated[Vector, _DENSITIES]
    dab: Annotated[Vector, _DENSITIES]
    background_rgb: Annotated[Vector, Range(0, 255, is_open="low")] = (255.0, 255.0, 255.0)
    source: Annotated[str, Text("the origin of the vectors", r"[^\x00-\x1f]{1,1000}")] = "user"
    residual: Annotated[Vector, _DENSITIES] | None = None

    def __post_init__(self) -> None:
        for name in ("hematoxylin", "dab", "background_rgb", "residual"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(float(v) for v in value))
        check_settings(self)
        for name in ("hematoxylin", "dab", "residual"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, unit_vector(value, name))
        # A sine below 0.02 (1.1°), or a residual in the plane of both: the inverse would amplify noise without bound.
        cross = float(np.linalg.norm(np.cross(self.hematoxylin, self.dab)))
        if cross < 0.02 or abs(float(np.linalg.det(self.matrix()))) < 1e-3:
            raise SettingsError(
                f"Stain vectors {self.hematoxylin} and {self.dab} are parallel and cannot be unmixed. "
                "Set them again in QuPath (Image tab → stains), or omit them to use QuPath's H-DAB defaults."
            )

    def matrix(self) -> NDArray[np.float64]:
        """Return the (3, 3) matrix whose rows are haematoxylin, DAB and residual."""
        third = self.residual or unit_vector(tuple(np.cross(self.hematoxylin, self.dab)), "residual")
        return np.array([self.hematoxylin, self.dab, third], dtype=np.float64)


def unit_vector(vector: tuple[float, ...], name: str) -> Vector:
    """Return `vector` scaled to length 1; SettingsError, naming the stain `name`, if it is zero or not finite."""
    values = tuple(float(v) for v in vector)
    length = math.sqrt(sum(v * v for v in values)) if len(values) == 3 else 0.0
    if not math.isfinite(length) or length < 1e-9:
        raise SettingsError(
            f"{name} is {shown(values)}; it must be three optical densities, for example 0.651 0.701 0.290 for "
            "haematoxylin."
        )
    return cast(Vector, tuple(v / length for v in values))


#: QuPath's "H-DAB default", with the digits its scripts write; after Ruifrok & Johnston 2001.
QUPATH_H_DAB = StainVectors(
    hematoxylin=(0.65111, 0.70119, 0.29049),
    dab=(0.26917, 0.56824, 0.77759),
    background_rgb=(255.0, 255.0, 255.0),
    source="QuPath H-DAB defaults",
)


@lru_cache(maxsize=64)
def _density_lut(background_rgb: Vector) -> NDArray[np.float32]:
    # Black counts as 1, like in QuPath: its density would be infinite.
    values = np.maximum(np.arange(256, dtype=np.float64), 1.0)[:, None]
    lut = -np.log10(values / np.asarray(background_rgb, dtype=np.float64))
    lut = np.ascontiguousarray(lut.astype(np.float32)[None])
    # The cache hands the same array to every caller.
    lut.setflags(write=False)
    return lut


def optical_density(
    rgb: NDArray[np.uint8], background_rgb: tuple[float, float, float] = (255.0, 255.0, 255.0)
) -> NDArray[np.float32]:
    """Return log10 optical density per channel.

    ``OD = -log10(max(I, 1) / I0)`` is QuPath's formula, except that QuPath sets the OD of pixels brighter than the
    background to 0. Here it stays negative, so that noise of unstained glass averages to 0.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3).
    background_rgb
        I0 of red, green and blue, in (0, 255].

    Returns
    -------
    NDArray[np.float32]
        float32 (H, W, 3), OD (log10).
    """
    lut = _density_lut(cast(Vector, tuple(float(v) for v in background_rgb)))
    return cast("NDArray[np.float32]", cv2.LUT(np.ascontiguousarray(rgb), lut))


def density_tables(background_rgb: Vector) -> NDArray[np.float32]:
    """Return the optical density of each value of red, green and blue, float32 (3, 256), as of `optical_density`.

    Parameters
    ----------
    background_rgb
        I0 of red, green and blue, in (0, 255].

    Returns
    -------
    NDArray[np.float32]
        float32 (3, 256), OD (log10).
    """
    lut = _density_lut(cast(Vector, tuple(float(v) for v in background_rgb)))
    return np.ascontiguousarray(lut[0].T)


def stain_tables(stains: StainVectors) -> NDArray[np.float32]:
    """Return what each value of red, green and blue adds to haematoxylin and to DAB, float32 (3, 256, 2).

    The sums over the three colours are the first two planes of `unmix`, without an array of densities.
    """
    inverse = np.linalg.inv(stains.matrix()).astype(np.float32)
    return density_tables(stains.background_rgb)[..., None] * inverse[:, None, :2]


def unmix(rgb: NDArray[np.uint8], stains: StainVectors = QUPATH_H_DAB) -> NDArray[np.float32]:
    """Return the optical density of haematoxylin, DAB and residual (Ruifrok & Johnston 2001).

    Negative values are kept: clipping them would turn noise in unstained tissue into stain.

    Parameters
    ----------
    rgb
        uint8 (H, W, 3).
    stains
        Stain vectors and background; the residual is their cross product unless given, as in QuPath.

    Returns
    -------
    NDArray[np.float32]
        float32 (H, W, 3), OD (log10) of haematoxylin, DAB and residual.
    """
    # Rows of the matrix are stains (od = amounts @ matrix), but cv2.transform multiplies from the left: transpose.
    inverse = np.ascontiguousarray(np.linalg.inv(stains.matrix()).T, dtype=np.float32)
    density = optical_density(rgb, stains.background_rgb)
    return cast("NDArray[np.float32]", cv2.transform(density, inverse))
