"""Macenko stain normalisation of H&E: fitted once per slide, applied to whole batches as a single matrix.

Method: Macenko M et al. A method for normalizing histology slides for quantitative analysis. IEEE ISBI 2009:1107-1110,
doi 10.1109/ISBI.2009.5193250. White value, cut-offs and percentiles are those of its published code, M. Veta's
``normalizeStaining.m`` (2013), which torchstain ported; the tests compare with both. Densities are log10 here, as
everywhere in this package; that code uses natural logarithms, which changes its numbers but no pixel.

For H&E only. On IHC it scales the DAB of every slide to the same strength, and the difference between 0 and 3+ is gone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from qupath_her2.errors import SettingsError
from qupath_her2.slides.stains.density_map import DensityMap, density_lut
from qupath_her2.slides.stains.macenko_references import StainProfile, Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MacenkoSettings", "fit_macenko", "macenko_map"]

_LN10 = math.log(10.0)


@dataclass(frozen=True, slots=True)
class MacenkoSettings:
    """Settings of the fit; the first four defaults are those of the published code.

    Attributes
    ----------
    white
        Grey value plus one of unstained background.
    min_density
        Pixels with a lower density in any channel count as transparent and are left out of the fit, OD (0.15 in natural
        logarithms).
    angle_percentile
        Percentile of the angles in the plane of the two largest eigenvectors that defines one vector; 100 minus it
        defines the other, %.
    max_percentile
        Percentile of each stain's amounts over all pixels that counts as its maximum, %.
    min_pixels
        Fewest stained pixels for a fit.
    min_angle_deg
        Smallest accepted angle between the vectors, degrees. A single stain with noise of 5 grey levels spreads over
        12; H&E slides and published references have 22 or more.
    """

    white: float = 240.0
    min_density: float = 0.15 / _LN10
    angle_percentile: float = 1.0
    max_percentile: float = 99.0
    min_pixels: int = 500
    min_angle_deg: float = 14.0


def fit_macenko(
    pixels: NDArray[np.uint8],
    *,
    name: str = "the image",
    image_type: str | None = None,
    settings: MacenkoSettings | None = None,
    force: bool = False,
) -> StainProfile:
    """Fit colour and strength of haematoxylin and eosin.

    Parameters
    ----------
    pixels
        uint8 (..., 3), tissue pixels sampled from one slide, see `tissue_sample.sample_tissue_pixels`.
    name
        Name of the slide in error messages.
    image_type
        QuPath's image type; None if unknown.
    settings
        Cut-offs and percentiles.
    force
        Accept IHC slides too.

    Returns
    -------
    StainProfile
        Stain vectors and maximum amounts, OD (log10).

    Raises
    ------
    SettingsError
        If the slide is IHC and `force` is not set, or shows too little stain or only one stain.
    """
    s = settings or MacenkoSettings()
    if not force and image_type is not None and "DAB" in image_type.upper():
        raise _is_ihc(name, f"QuPath's image type is {image_type!r}")
    grey = np.asarray(pixels, np.uint8).reshape(-1, 3)
    density = density_lut(s.white)[grey]
    stained = density[(density >= s.min_density).all(axis=1)]
    if len(stained) < s.min_pixels:
        raise SettingsError(
            f"Only {len(stained):,} of {len(density):,} pixels of {name} are stained, fewer than the {s.min_pixels:,} "
            "needed to fit its stain vectors. Choose a slide with more tissue, or turn stain normalisation off."
        )
    vectors = _stain_vectors(stained, s.angle_percentile)
    _check_vectors(vectors, name, s, force)
    # Amounts of all pixels, transparent ones too, as in the published code: the percentile depends on them.
    amounts = np.linalg.lstsq(vectors, density.T, rcond=None)[0]
    maxima = np.percentile(amounts, s.max_percentile, axis=1)
    if maxima.min() < s.min_density:
        raise _one_stain(name, f"the weaker stain only reaches a density of {maxima.min():.3f}")
    return StainProfile(
        cast(Vector, tuple(vectors[:, 0])),
        cast(Vector, tuple(vectors[:, 1])),
        float(maxima[0]),
        float(maxima[1]),
        s.white,
        f"Macenko fit over {len(stained):,} stained pixels",
    )


def _stain_vectors(stained: NDArray[np.float64], percentile: float) -> NDArray[np.float64]:
    """Return the extreme directions in the plane of the two largest eigenvectors, (3, 2), haematoxylin first."""
    # eigh sorts eigenvalues in ascending order: the last two columns span the plane of largest variance.
    _, directions = np.linalg.eigh(np.cov(stained.T))
    plane = directions[:, 1:]
    flat = stained @ plane
    # The sign of an eigenvector is arbitrary: angles are measured from the mean density, far from where they wrap.
    middle = math.atan2(*flat.mean(axis=0)[::-1])
    turned = np.arctan2(flat[:, 1], flat[:, 0]) - middle
    angle = (turned + math.pi) % (2 * math.pi) - math.pi + middle
    ends = np.percentile(angle, [percentile, 100 - percentile])
    vectors = plane @ np.array([np.cos(ends), np.sin(ends)])
    # Haematoxylin absorbs red, eosin hardly any.
    return cast("NDArray[np.float64]", vectors[:, np.argsort(-vectors[0])])


def _check_vectors(vectors: NDArray[np.float64], name: str, s: MacenkoSettings, force: bool) -> None:
    """Raise SettingsError if the vectors (3, 2) are not those of haematoxylin and eosin."""
    apart = math.degrees(math.acos(min(1.0, float(vectors[:, 0] @ vectors[:, 1]))))
    if apart < s.min_angle_deg:
        raise _one_stain(name, f"its stain vectors are {apart:.0f}° apart, less than {s.min_angle_deg:g}°")
    # No stain emits light: a clearly negative density comes from a plane fitted to noise.
    if vectors.min() < -0.1:
        raise _one_stain(name, f"the stain vectors {vectors.T.round(2).tolist()} have negative densities")
    # Eosin absorbs green most, DAB absorbs blue more than green. This recognised four of four real IHC cores, 0 to 3+.
    if not force and vectors[2, 1] >= vectors[1, 1]:
        red, green, blue = vectors[:, 1]
        raise _is_ihc(name, f"its second stain ({red:.2f}, {green:.2f}, {blue:.2f}) is brown, not eosin")


def _is_ihc(name: str, why: str) -> SettingsError:
    return SettingsError(
        f"Macenko normalisation is for H&E, but {name} is IHC: {why}. It would remove the difference between 0 and "
        "3+. Turn stain normalisation off for IHC, or force it."
    )


def _one_stain(name: str, why: str) -> SettingsError:
    return SettingsError(
        f"{name} does not show haematoxylin and eosin as two stains: {why}. Choose a slide that shows both, or turn "
        "stain normalisation off."
    )


def macenko_map(source: StainProfile, reference: StainProfile) -> DensityMap:
    """Return the density map that gives a slide of profile `source` the colours and strengths of `reference`.

    The amounts of both stains are found by least squares, scaled by the ratio of the maximum amounts, and mixed again
    with the reference's vectors: three matrices, multiplied once. Density that neither stain explains is dropped.
    """
    scale = np.diag(reference.maxima() / source.maxima())
    matrix = reference.vectors() @ scale @ np.linalg.pinv(source.vectors())
    return DensityMap(matrix, np.zeros(3), source.white, reference.white)
