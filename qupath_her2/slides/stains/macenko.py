"""Stain normalisation of H&E after Macenko: fitted once per slide, applied as one matrix to whole batches.

Method: Macenko M et al. A method for normalizing histology slides for quantitative analysis. IEEE ISBI 2009:1107-1110,
doi 10.1109/ISBI.2009.5193250. Light, cut-offs and percentiles are those of its published code: M. Veta,
``normalizeStaining.m`` (2013), which torchstain ported and to which the tests compare. Densities are log10 here, as
everywhere in this package; that code has natural logarithms, which changes its numbers and no pixel.

For H&E alone. On IHC it stretches the DAB of every slide to one strength: the difference between 0 and 3+ is gone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from qupath_her2.errors import SettingsError
from qupath_her2.slides.stains.density_map import DensityMap, density_lut
from qupath_her2.slides.stains.he_profiles import StainProfile, Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MacenkoSettings", "fit_macenko", "macenko_map"]

_LN10 = math.log(10.0)


@dataclass(frozen=True, slots=True)
class MacenkoSettings:
    """How stain vectors are found; the first four are those of the published code.

    Attributes
    ----------
    white
        Grey value plus one that counts as no stain.
    min_density
        A pixel under this in any channel is transparent and left out of the vectors, OD (0.15 in natural
        logarithm).
    angle_percentile
        The vectors are this and its counterpart of the angles in the plane of the two widest
        directions, %.
    max_percentile
        Of the amounts of each stain over all pixels given, %.
    min_pixels
        Fewest stained pixels.
    min_angle_deg
        Smallest angle between the vectors, degrees. One stain with noise of 5 grey levels spreads over
        12; H&E slides and published references have 22 and more.
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
    """Find colour and strength of haematoxylin and eosin.

    Parameters
    ----------
    pixels
        uint8 (..., 3), a sample of tissue pixels of one slide: see `stain_sample.sample_tissue_pixels`.
    name
        What messages call the slide.
    image_type
        QuPath's type of the image, None where unknown.
    settings
        Cut-offs.
    force
        Take an IHC slide too.

    Returns
    -------
    StainProfile
        StainProfile

    Raises
    ------
    SettingsError
        IHC without `force`, too little stain, or one stain alone.
    """
    s = settings or MacenkoSettings()
    if not force and image_type is not None and "DAB" in image_type.upper():
        raise _is_ihc(name, f"QuPath's image type is {image_type!r}")
    grey = np.asarray(pixels, np.uint8).reshape(-1, 3)
    density = density_lut(s.white)[grey]
    stained = density[(density >= s.min_density).all(axis=1)]
    if len(stained) < s.min_pixels:
        raise SettingsError(
            f"Only {len(stained):,} of {len(density):,} pixels of {name} hold stain, under {s.min_pixels:,}: too few "
            "to find its colours. Choose a slide with more tissue, or leave normalisation off."
        )
    vectors = _stain_vectors(stained, s.angle_percentile)
    _check_vectors(vectors, name, s, force)
    amounts = np.linalg.lstsq(vectors, density.T, rcond=None)[0]
    maxima = np.percentile(amounts, s.max_percentile, axis=1)
    if maxima.min() < s.min_density:
        raise _one_stain(name, f"the weaker one reaches a density of {maxima.min():.3f}")
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
    _, directions = np.linalg.eigh(np.cov(stained.T))
    plane = directions[:, 1:]
    flat = stained @ plane
    # An eigenvector's sign is arbitrary: angles are taken from the mean density, far from where they wrap round.
    middle = math.atan2(*flat.mean(axis=0)[::-1])
    turned = np.arctan2(flat[:, 1], flat[:, 0]) - middle
    angle = (turned + math.pi) % (2 * math.pi) - math.pi + middle
    ends = np.percentile(angle, [percentile, 100 - percentile])
    vectors = plane @ np.array([np.cos(ends), np.sin(ends)])
    # Haematoxylin absorbs red, eosin hardly any.
    return cast("NDArray[np.float64]", vectors[:, np.argsort(-vectors[0])])


def _check_vectors(vectors: NDArray[np.float64], name: str, s: MacenkoSettings, force: bool) -> None:
    apart = math.degrees(math.acos(min(1.0, float(vectors[:, 0] @ vectors[:, 1]))))
    if apart < s.min_angle_deg:
        raise _one_stain(name, f"its colours lie within {apart:.0f}°, under {s.min_angle_deg:g}°")
    if vectors.min() < -0.1:
        raise _one_stain(name, f"a stain vector {vectors.T.round(2).tolist()} is below zero")
    # Eosin absorbs green most; DAB absorbs blue more than green. Real IHC cores: all four of 0 to 3+ are told so.
    if not force and vectors[2, 1] >= vectors[1, 1]:
        red, green, blue = vectors[:, 1]
        raise _is_ihc(name, f"its second stain ({red:.2f}, {green:.2f}, {blue:.2f}) is brown, not eosin")


def _is_ihc(name: str, why: str) -> SettingsError:
    return SettingsError(
        f"Macenko normalisation is for H&E, and {name} is IHC: {why}. It would level the difference between 0 and "
        "3+. Leave stain normalisation off for IHC, or force it."
    )


def _one_stain(name: str, why: str) -> SettingsError:
    return SettingsError(
        f"{name} does not show haematoxylin and eosin as two stains: {why}. Choose a slide that holds both, or leave "
        "normalisation off."
    )


def macenko_map(source: StainProfile, reference: StainProfile) -> DensityMap:
    """Return the map that gives a slide of profile `source` the colours and strengths of `reference`.

    The amounts of both stains are found by least squares, scaled by the ratio of the strongest amounts, and mixed
    again with the reference's vectors: three matrices, multiplied once. What neither stain explains is dropped.
    """
    scale = np.diag(reference.maxima() / source.maxima())
    matrix = reference.vectors() @ scale @ np.linalg.pinv(source.vectors())
    return DensityMap(matrix, np.zeros(3), source.white, reference.white)
