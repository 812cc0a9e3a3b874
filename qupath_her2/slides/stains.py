"""Stain vectors, optical density and colour deconvolution for haematoxylin-DAB images.

Method: Ruifrok AC, Johnston DA. Quantification of histochemical staining by color deconvolution.
Anal Quant Cytol Histol 2001;23:291-299. Optical density is log10, as QuPath's.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from qupath_her2.errors import SettingsError

__all__ = [
    "QUPATH_H_DAB",
    "StainEstimateSettings",
    "StainVectors",
    "estimate_background",
    "estimate_stains",
    "optical_density",
    "parse_qupath_stains",
    "unmix",
]

Vector: TypeAlias = tuple[float, float, float]

#: Fewer glass pixels than this say nothing about the lamp; QuPath's 255 stands instead.
_MIN_GLASS_PIXELS = 200
_HAEMATOXYLIN_NAMES = frozenset({"haematoxylin", "hematoxylin", "haem", "h"})
_DAB_NAMES = frozenset({"dab", "d"})


@dataclass(frozen=True, slots=True)
class StainVectors:
    """The colours of two stains, and of the light without any.

    Attributes
    ----------
    hematoxylin, dab : unit vectors of red, green, blue optical density; scaled to length 1 when made.
    background_rgb : red, green, blue of unstained glass, in (0, 255].
    source : where they come from, in words; saved with the run.
    residual : third unit vector; None means the normalised cross product of the two, as QuPath takes it.

    Raises
    ------
    SettingsError
        When a value is not finite, a vector is null, the stains point the same way, or the background is
        not in (0, 255].
    """

    hematoxylin: Vector
    dab: Vector
    background_rgb: Vector = (255.0, 255.0, 255.0)
    source: str = "user"
    residual: Vector | None = None

    def __post_init__(self) -> None:
        for name in ("hematoxylin", "dab", "residual"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _unit(value, name))
        background = tuple(float(v) for v in self.background_rgb)
        if len(background) != 3 or not all(0 < v <= 255 for v in background):
            raise SettingsError(
                f"Stain background {background} is not three values in (0, 255]. "
                "Give the colour of empty glass, for example 255 255 255."
            )
        object.__setattr__(self, "background_rgb", background)
        cross = float(np.linalg.norm(np.cross(self.hematoxylin, self.dab)))
        if cross < 0.02 or abs(float(np.linalg.det(self.matrix()))) < 1e-3:
            raise SettingsError(
                f"Stain vectors {self.hematoxylin} and {self.dab} point the same way and cannot be unmixed. "
                "Set them again in QuPath (Image tab → stains) or leave them out for QuPath's H-DAB defaults."
            )

    def matrix(self) -> NDArray[np.float64]:
        """Return the (3, 3) matrix whose rows are haematoxylin, DAB and residual."""
        third = self.residual or _unit(tuple(np.cross(self.hematoxylin, self.dab)), "residual")
        return np.array([self.hematoxylin, self.dab, third], dtype=np.float64)


def _unit(vector: tuple[float, ...], name: str) -> Vector:
    values = tuple(float(v) for v in vector)
    length = math.sqrt(sum(v * v for v in values)) if len(values) == 3 else 0.0
    if not math.isfinite(length) or length < 1e-9:
        raise SettingsError(
            f"Stain vector {name} = {values} has no direction. Give three optical densities, "
            "for example 0.651 0.701 0.290 for haematoxylin."
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
    values = np.maximum(np.arange(256, dtype=np.float64), 1.0)[:, None]
    lut = -np.log10(values / np.asarray(background_rgb, dtype=np.float64))
    lut = np.ascontiguousarray(lut.astype(np.float32)[None])
    lut.setflags(write=False)
    return lut


def optical_density(
    rgb: NDArray[np.uint8], background_rgb: tuple[float, float, float] = (255.0, 255.0, 255.0)
) -> NDArray[np.float32]:
    """Return log10 optical density per channel.

    ``OD = -log10(max(I, 1) / I0)``, QuPath's formula, except that QuPath sets the OD of a pixel brighter than
    the background to 0. It stays negative here, so that noise around unstained glass averages to 0.

    Parameters
    ----------
    rgb : uint8 (H, W, 3).
    background_rgb : I0 for red, green, blue, in (0, 255].

    Returns
    -------
    float32 (H, W, 3)
    """
    lut = _density_lut(cast(Vector, tuple(float(v) for v in background_rgb)))
    return cast("NDArray[np.float32]", cv2.LUT(np.ascontiguousarray(rgb), lut))


def unmix(rgb: NDArray[np.uint8], stains: StainVectors = QUPATH_H_DAB) -> NDArray[np.float32]:
    """Return the optical density of haematoxylin, DAB and residual (Ruifrok & Johnston 2001).

    Negative values are kept: clipping them would turn noise in unstained tissue into stain.

    Parameters
    ----------
    rgb : uint8 (H, W, 3).
    stains : vectors and background; the residual is their cross product unless given, as in QuPath.

    Returns
    -------
    float32 (H, W, 3) : haematoxylin, DAB, residual.
    """
    # Stains are rows of the matrix (od = amounts @ matrix); cv2.transform multiplies from the left.
    inverse = np.ascontiguousarray(np.linalg.inv(stains.matrix()).T, dtype=np.float32)
    density = optical_density(rgb, stains.background_rgb)
    return cast("NDArray[np.float32]", cv2.transform(density, inverse))


def estimate_background(rgb_thumbnail: NDArray[np.uint8], tissue_mask: NDArray[np.bool_]) -> Vector:
    """Return the colour of empty glass: the per-channel median of bright pixels away from tissue.

    Parameters
    ----------
    rgb_thumbnail : uint8 (H, W, 3).
    tissue_mask : bool (H, W), True on tissue. A margin of 2 thumbnail pixels around it is left out.

    Returns
    -------
    tuple of three floats in (0, 255]; (255, 255, 255), QuPath's default, where under 200 glass pixels remain.
    """
    near = cv2.dilate(tissue_mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    glass = rgb_thumbnail[~near]
    # Pen, bubbles' edges and the holder are darker than any lamp setting a scanner calibrates to.
    glass = glass[glass.min(axis=1) >= 170]
    if len(glass) < _MIN_GLASS_PIXELS:
        return QUPATH_H_DAB.background_rgb
    red, green, blue = (float(v) for v in np.median(glass, axis=0))
    return (red, green, blue)


@dataclass(frozen=True, slots=True)
class StainEstimateSettings:
    """When and how stain vectors are estimated.

    Attributes
    ----------
    min_density : length of the OD vector from which a pixel has a colour worth asking, OD.
    max_density : per-channel OD above which DAB no longer follows Beer-Lambert and 8-bit colour is coarse.
    hematoxylin_percentile : share of pixels, at the blue end of the angle between the stains, that define
        haematoxylin, %.
    dab_dense_percentile, dab_angle_percentile : DAB is defined by the brown pixels above this percentile of
        density, and of those by the ones beyond this percentile of the angle.
    min_dab_share : share of stained pixels that must be brown before DAB counts as plentiful, 0..1.
    dab_density : DAB OD (QuPath's vectors) above which a pixel is brown.
    max_deviation_deg : largest accepted angle between an estimate and QuPath's default, degrees.
    min_pixels : fewest stained pixels.
    """

    min_density: float = 0.15
    max_density: float = 1.2
    hematoxylin_percentile: float = 2.0
    dab_dense_percentile: float = 40.0
    dab_angle_percentile: float = 80.0
    min_dab_share: float = 0.05
    dab_density: float = 0.25
    max_deviation_deg: float = 12.0
    min_pixels: int = 5_000


def estimate_stains(
    od_pixels: NDArray[np.float32],
    *,
    background_rgb: tuple[float, float, float] = (255.0, 255.0, 255.0),
    settings: StainEstimateSettings | None = None,
) -> StainVectors:
    """Estimate one pair of stain vectors from stained tissue pooled over all images of one scanner and stain.

    Pixels are ordered by their angle from haematoxylin to DAB in the plane of QuPath's default vectors; each
    stain is the median direction of the pixels at its own end, in full colour. DAB is asked of the dense
    brown pixels only: thin DAB is yellower than thick, and the outermost angles of all brown pixels gave a
    vector 12° off on a real 3+ core, under which every dark membrane held haematoxylin. This is not
    Macenko's SVD, which finds the two widest directions whatever they are: without DAB it calls grey "DAB".
    For the same reason never pass one patch, or one image that may hold no DAB: in a prototype on real cores
    labelled 0, false 1+ rose from 0.3 % to 4.5 % of cells.

    Parameters
    ----------
    od_pixels : float32 (N, 3), optical density of tissue pixels against their own image's background.
    background_rgb : put into the result.
    settings : limits of acceptance.

    Returns
    -------
    StainVectors : the estimate, or QuPath's defaults where DAB is scarce or a direction is not the expected
        one; `source` says which and why.
    """
    s = settings or StainEstimateSettings()
    background = cast(Vector, tuple(float(v) for v in background_rgb))
    od = np.asarray(od_pixels, dtype=np.float32).reshape(-1, 3)
    length = np.linalg.norm(od, axis=1)
    usable = np.isfinite(length) & (length >= s.min_density) & (od.max(axis=1) <= s.max_density)
    od, length = od[usable], length[usable]
    if len(od) < s.min_pixels:
        return _defaults(background, f"{len(od)} stained pixels, fewer than {s.min_pixels}")
    amounts = od @ np.linalg.inv(QUPATH_H_DAB.matrix()).astype(np.float32)
    brown = (amounts[:, 1] >= s.dab_density) & (amounts[:, 1] > amounts[:, 0])
    if brown.mean() < s.min_dab_share:
        return _defaults(
            background,
            f"DAB in {100 * brown.mean():.1f} % of stained pixels, under {100 * s.min_dab_share:g} %",
        )
    angle = np.arctan2(amounts[:, 1], amounts[:, 0])
    direction = od / length[:, None]
    blue = angle <= np.percentile(angle, s.hematoxylin_percentile)
    hematoxylin = _unit(tuple(np.median(direction[blue], axis=0)), "hematoxylin")
    dense = brown & (length >= np.percentile(length[brown], s.dab_dense_percentile))
    pure = dense & (angle >= np.percentile(angle[dense], s.dab_angle_percentile))
    dab = _unit(tuple(np.median(direction[pure], axis=0)), "dab")
    for name, found, expected in (
        ("haematoxylin", hematoxylin, QUPATH_H_DAB.hematoxylin),
        ("DAB", dab, QUPATH_H_DAB.dab),
    ):
        off = math.degrees(math.acos(min(1.0, float(np.dot(found, expected)))))
        if off > s.max_deviation_deg:
            return _defaults(
                background, f"{name} estimate {off:.0f}° from QuPath's, over {s.max_deviation_deg:g}°"
            )
    return StainVectors(hematoxylin, dab, background, f"pooled estimate over {len(od)} stained pixels")


def _defaults(background: Vector, why: str) -> StainVectors:
    return StainVectors(
        QUPATH_H_DAB.hematoxylin, QUPATH_H_DAB.dab, background, f"{QUPATH_H_DAB.source} ({why})"
    )


def parse_qupath_stains(value: str | Mapping[str, Any]) -> StainVectors:
    """Read QuPath's colour deconvolution stains.

    Parameters
    ----------
    value : what ``ColorDeconvolutionStains.getColorDeconvolutionStainsAsString`` writes (JSON text), or the
        same as a mapping: ``Stain 1``, ``Values 1``, ``Stain 2``, ``Values 2``, optionally ``Values 3``,
        ``Background``. Values are text with spaces or lists of numbers; the stains stand in either order.

    Raises
    ------
    SettingsError
        When it is not such text, or when the stains are not haematoxylin and DAB (an H&E image, say).
    """
    fields = _as_mapping(value)
    found: dict[str, Vector] = {}
    for number in ("1", "2"):
        name = str(fields.get(f"Stain {number}", "")).strip().lower()
        key = "h" if name in _HAEMATOXYLIN_NAMES else "dab" if name in _DAB_NAMES else None
        if key is None:
            raise SettingsError(
                f"QuPath's stain {number} is {fields.get(f'Stain {number}')!r}, not haematoxylin or DAB. "
                "Set the image type to Brightfield (H-DAB) in QuPath (Image tab → Image type)."
            )
        found[key] = _triple(fields, f"Values {number}")
    if len(found) != 2:
        raise SettingsError("QuPath's two stains have the same name; name one Hematoxylin and the other DAB.")
    third = _triple(fields, "Values 3") if fields.get("Values 3") else None
    background = _triple(fields, "Background") if "Background" in fields else (255.0, 255.0, 255.0)
    return StainVectors(found["h"], found["dab"], background, "QuPath", third)


def _as_mapping(value: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    try:
        fields = json.loads(value)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise SettingsError(
            f"Stains {str(value)[:80]!r} are not QuPath's JSON. Copy them from QuPath's workflow step "
            '"Set color deconvolution stains".'
        )
    return fields


def _triple(fields: Mapping[str, Any], key: str) -> Vector:
    raw = fields.get(key)
    parts = re.split(r"[\s,;]+", raw.strip()) if isinstance(raw, str) else raw
    try:
        red, green, blue = (float(v) for v in cast("list[Any]", parts))
    except (TypeError, ValueError):
        raise SettingsError(f"QuPath's stains: {key!r} is {raw!r}, not three numbers.") from None
    return (red, green, blue)
