"""References for Macenko normalisation: the built-in ones, and the H&E stain profile that a reference is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from qupath_her2.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["MACENKO_REFERENCES", "StainProfile", "Vector", "profile_from_dict", "profile_to_dict"]

Vector: TypeAlias = tuple[float, float, float]
_LN10 = math.log(10.0)


@dataclass(frozen=True, slots=True)
class StainProfile:
    """Colour and strength of the two stains of an H&E slide.

    Attributes
    ----------
    hematoxylin, eosin
        Optical density of red, green and blue; scaled to unit length on creation.
    max_hematoxylin, max_eosin
        99th percentile of the amount of each stain, OD along its vector (log10).
    white
        Grey value plus one of unstained background, the same for all channels.
    source
        Origin of the numbers, in words; saved with the run.

    Raises
    ------
    SettingsError
        If a number is not finite, an amount or the white value is not positive, or the vectors are parallel.
    """

    hematoxylin: Vector
    eosin: Vector
    max_hematoxylin: float
    max_eosin: float
    white: float = 240.0
    source: str = "user"

    def __post_init__(self) -> None:
        for name in ("hematoxylin", "eosin"):
            values = np.asarray(getattr(self, name), np.float64)
            length = float(np.linalg.norm(values)) if values.shape == (3,) else math.nan
            if not length > 1e-9 or not math.isfinite(length):
                raise SettingsError(
                    f"Stain vector {name} = {getattr(self, name)} of a stain profile must be three optical densities, "
                    "not all zero."
                )
            object.__setattr__(self, name, tuple(float(v) for v in values / length))
        for name in ("max_hematoxylin", "max_eosin", "white"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SettingsError(f"{name} of a stain profile is {value!r}; it must be a number above 0.")
        # The norm of the cross product is the sine of the angle: 0.02 is 1.1°.
        if float(np.linalg.norm(np.cross(self.hematoxylin, self.eosin))) < 0.02:
            raise SettingsError(
                f"Stain vectors {self.hematoxylin} and {self.eosin} are parallel and cannot be unmixed. "
                "Choose a reference that shows both stains."
            )

    def vectors(self) -> NDArray[np.float64]:
        """Return the stain vectors as columns, float64 (3, 2): haematoxylin, eosin."""
        return np.array([self.hematoxylin, self.eosin], np.float64).T

    def maxima(self) -> NDArray[np.float64]:
        """Return the maximum amounts of haematoxylin and eosin, float64 (2,), OD."""
        return np.array([self.max_hematoxylin, self.max_eosin], np.float64)


#: References by name. ``veta-2013``: HERef and maxCRef of ``normalizeStaining.m``, converted from natural to decadic
#: logarithms.
MACENKO_REFERENCES: dict[str, StainProfile] = {
    "veta-2013": StainProfile(
        hematoxylin=(0.5626, 0.7201, 0.4062),
        eosin=(0.2159, 0.8012, 0.5581),
        max_hematoxylin=1.9705 / _LN10,
        max_eosin=1.0308 / _LN10,
        white=240.0,
        source="veta-2013: normalizeStaining.m by M. Veta, UMC Utrecht, after Macenko et al. 2009",
    )
}


def profile_to_dict(profile: StainProfile) -> dict[str, Any]:
    """Return a profile as JSON-serialisable values; `profile_from_dict` restores it.

    The amounts are restored exactly, the vectors to the last digit, since they are scaled to unit length again.
    """
    return {"format": 1, "kind": "macenko", **asdict(profile)}


def profile_from_dict(value: Mapping[str, Any]) -> StainProfile:
    """Restore a profile from the values of `profile_to_dict`.

    Raises
    ------
    SettingsError
        If the format is another, or a value is missing or invalid.
    """
    fields = {key: item for key, item in value.items() if key not in ("format", "kind")}
    if value.get("format") != 1 or value.get("kind") != "macenko":
        raise SettingsError(
            f"Not a stain profile of format 1 (format {value.get('format')!r}, kind {value.get('kind')!r}). "
            f"Fit it again, or use a built-in one: {', '.join(MACENKO_REFERENCES)}."
        )
    try:
        numbers = {key: float(fields[key]) for key in ("max_hematoxylin", "max_eosin", "white")}
        vectors = {key: tuple(float(v) for v in fields[key]) for key in ("hematoxylin", "eosin")}
        source = str(fields["source"])
    except (KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            f"The stain profile has a missing or invalid value: {type(error).__name__} {error}. Fit it again."
        ) from error
    return StainProfile(**cast("dict[str, Any]", {**vectors, **numbers}), source=source)
